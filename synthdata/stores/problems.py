"""What went wrong with an object store, in one line, and whether it passes.

Nothing of what a server or a library says is quoted but codes: addresses may be signed, and messages may hold keys.
"""

import re
from typing import Any

from synthdata.errors import FailureError, MisuseError, SynthdataError

_AGAIN = "run the same command again, what is there already is kept"
_LOG_IN = {
    "s3": "run `aws configure`, or set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
    "gs": "run `gcloud auth application-default login`, or set GOOGLE_APPLICATION_CREDENTIALS",
    "az": "set AZURE_STORAGE_ACCOUNT_NAME and AZURE_STORAGE_ACCOUNT_KEY",
    "hf": "run `hf auth login`, or set HF_TOKEN",
}
_UNKNOWN = {"InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "InvalidToken", "AuthFailure", "401"}
_SKEWED = {"RequestTimeTooSkewed", "RequestExpired"}
_FORBIDDEN = {"AccessDenied", "AllAccessDisabled", "Forbidden", "403"}
_NO_BUCKET = {"NoSuchBucket", "InvalidBucketName"}
_MISSING = re.compile("(Repository|Bucket|Revision)NotFound|HFValidation|ContainerNotFound")
_NO_CREDENTIALS = re.compile("Credential|LocalTokenNotFound|ClientAuthentication")
_PASSING = {"429", "500", "502", "503", "504", "InternalError", "SlowDown", "ServiceUnavailable", "RequestTimeout"}
_CONNECTION = re.compile("Connect|Timeout|Protocol|Network|Payload|IncompleteRead|ReadError|WriteError|HTTPClient|SSL")


def problem(error: BaseException, name: str, purpose: str) -> SynthdataError:
    """What to tell of ``error``, which came of a request to the store ``name``.

    Args:
        purpose: "read" or "write".
    """
    scheme = name.partition("://")[0]
    codes, classes = _codes(error), _classes(error)
    code = f" ({min(codes)})" if codes else ""
    log_in = _LOG_IN.get(scheme, "give them")
    if codes & _SKEWED:
        return FailureError(f"{name} refuses requests of another time{code}: set the clock of this machine")
    if codes & _UNKNOWN:
        return MisuseError(f"{name} does not know these credentials{code}: {log_in}")
    if is_missing(error):
        return MisuseError(f"{name} is in no bucket or repository that you can see{code}: create it, or check its name")
    if codes & _FORBIDDEN or isinstance(error, PermissionError):
        mend = "ask for the right to" if scheme == "hf" else "use credentials that may"
        return MisuseError(f"{name} may not be {_DONE[purpose]} with these credentials{code}: {mend} {purpose} there")
    if any(_NO_CREDENTIALS.search(each) for each in classes):
        return MisuseError(f"there are no credentials for {name}: {log_in}")
    if any(_CONNECTION.search(each) for each in classes):
        return FailureError(f"the connection to {name} failed: {_AGAIN}")
    return FailureError(f"{name} cannot be {_DONE[purpose]}{code or f' ({type(error).__name__})'}: {_AGAIN}")


_DONE = {"read": "read", "write": "written"}


def is_missing(error: BaseException) -> bool:
    """Whether there is no such bucket or repository, or none that one may see."""
    return bool(_codes(error) & _NO_BUCKET) or any(_MISSING.match(each) for each in _classes(error))


def is_passing(error: BaseException) -> bool:
    """Whether the same request may do better in a moment."""
    codes = _codes(error)
    return bool(codes & _PASSING) or (not codes and any(_CONNECTION.search(each) for each in _classes(error)))


def _chain(error: BaseException) -> list[BaseException]:
    chain = [error]
    while (cause := chain[-1].__cause__) is not None and len(chain) < 10:
        chain.append(cause)
    return chain


def _classes(error: BaseException) -> list[str]:
    """Names of the classes of ``error`` and of what caused it; the libraries that they are of need not be there."""
    names = (cls.__name__ for each in _chain(error) for cls in type(each).__mro__)
    return [name for name in names if name not in ("OSError", "Exception", "BaseException", "object")]


def _codes(error: BaseException) -> set[str]:
    """What the server answered: words of S3, or the status of HTTP."""
    codes = set()
    for each in _chain(error):
        response: Any = getattr(each, "response", None)
        found = response.get("Error", {}).get("Code") if isinstance(response, dict) else None
        for code in (found, getattr(response, "status_code", None), getattr(each, "status", None)):
            codes |= {str(code)} if code else set()
        code = getattr(each, "code", None)  # of gcsfs
        codes |= {str(code)} if isinstance(code, int) else set()
    return {code for code in codes if re.fullmatch(r"[A-Za-z]{1,60}|\d{3}", code)}
