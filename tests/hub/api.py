"""The calls of the Hub's API that the clients make, each a function from a request to a reply."""

import hashlib
import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from email.message import Message
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

from .storage import LARGE_SIZE, LARGE_SUFFIXES, File, HubError, Repository

if TYPE_CHECKING:
    from .server import LoopbackHub


@dataclass(frozen=True)
class Call:
    """One request, with its path's arguments unquoted and its token turned into a user name."""

    hub: "LoopbackHub"
    method: str
    arguments: dict[str, str]
    query: dict[str, list[str]]
    body: bytes
    headers: Message
    user: str | None

    def json(self) -> Any:
        return json.loads(self.body)

    def readable(self) -> Repository:
        return self.hub.storage.readable(*self._repository(), self.user)

    def writable(self) -> Repository:
        return self.hub.storage.writable(*self._repository(), self.user)

    def _repository(self) -> tuple[str, str]:
        kind = self.arguments["kind"].rstrip("/").removesuffix("s") or "model"
        return kind, self.arguments["name"]


@dataclass(frozen=True)
class Reply:
    """What is answered; the server adds the length."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of_json(cls, value: Any, status: int = 200, **headers: str) -> "Reply":
        return cls(status, json.dumps(value).encode(), {"Content-Type": "application/json", **headers})

    @classmethod
    def of_error(cls, error: HubError) -> "Reply":
        headers = {"X-Error-Message": str(error)} | ({"X-Error-Code": error.code} if error.code else {})
        return cls.of_json(error.body, error.status, **headers)


def who_am_i(call: Call) -> Reply:
    if call.user is None:
        raise HubError(401, "Invalid username or password.")
    return Reply.of_json({"type": "user", "name": call.user, "orgs": [], "auth": {"accessToken": {"role": "write"}}})


def validate_card(call: Call) -> Reply:
    return Reply.of_json({"errors": [], "warnings": []})


def create_repo(call: Call) -> Reply:
    request = call.json()
    kind, owner = request.get("type", "model"), request.get("organization") or call.user
    name = f"{owner}/{request['name']}"
    private = request.get("private", False) or request.get("visibility") == "private"
    url = f"{call.hub.url}/{'datasets/' if kind == 'dataset' else ''}{name}"
    try:
        call.hub.storage.create(kind, name, call.user, private)
    except HubError as error:
        if error.status == 409:
            error.body["url"] = url
        raise
    return Reply.of_json({"url": url, "name": name})


def info(call: Call) -> Reply:
    repository = call.readable()
    commit = repository.resolve(call.arguments["revision"] or "main")
    siblings = [{"rfilename": path} for path in sorted(repository.commits[commit])]
    body = {"id": repository.name, "sha": commit, "private": repository.private, "gated": False, "tags": []}
    return Reply.of_json({**body, "disabled": False, "author": repository.owner, "siblings": siblings})


def refs(call: Call) -> Reply:
    branches = [
        {"name": name, "ref": f"refs/heads/{name}", "targetCommit": commit}
        for name, commit in call.readable().branches.items()
    ]
    return Reply.of_json({"branches": branches, "tags": [], "converts": []})


def create_branch(call: Call) -> Reply:
    repository, branch = call.writable(), call.arguments["revision"]
    if branch in repository.branches:
        raise HubError(409, f"Reference refs/heads/{branch} already exists")
    if not re.fullmatch(r"[\w.\-/]+", branch) or branch.startswith("refs/"):
        raise HubError(400, f"Invalid branch name: {branch}")
    repository.branches[branch] = repository.resolve(call.json().get("startingPoint", "main"))
    return Reply.of_json({})


def tree(call: Call) -> Reply:
    files, folder = call.readable().tree(call.arguments["revision"]), call.arguments["path"].strip("/")
    prefix = f"{folder}/" if folder else ""
    recursive = call.query.get("recursive", ["false"])[0].lower() in ("true", "1")
    entries: dict[str, dict[str, Any]] = {}
    for path, file in sorted(files.items()):
        if not path.startswith(prefix):
            continue
        *folders, _ = path.removeprefix(prefix).split("/")
        parents = [prefix + "/".join(folders[: depth + 1]) for depth in range(len(folders))]
        for parent in parents if recursive else parents[:1]:
            entries[parent] = _folder_entry(parent)
        if recursive or not folders:
            entries[path] = _file_entry(path, file)
    if folder and not entries:
        raise HubError(404, f"{folder} does not exist on {call.arguments['revision']!r}", "EntryNotFound")
    return Reply.of_json(list(entries.values()))


def paths_info(call: Call) -> Reply:
    files = call.readable().tree(call.arguments["revision"])
    entries = []
    for path in _form_or_json(call).get("paths", []):
        if path in files:
            entries.append(_file_entry(path, files[path]))
        elif any(other.startswith(f"{path}/") for other in files):
            entries.append(_folder_entry(path))
    return Reply.of_json(entries)


def preupload(call: Call) -> Reply:
    """Say which files go by LFS, and what the branch holds under their names."""
    current = call.writable().tree(call.arguments["revision"])
    answers = []
    for file in call.json()["files"]:
        large = file["path"].endswith(LARGE_SUFFIXES) or file["size"] >= LARGE_SIZE
        answer = {"path": file["path"], "uploadMode": "lfs" if large else "regular", "shouldIgnore": False}
        answers.append(answer | ({"oid": current[file["path"]].oid} if file["path"] in current else {}))
    return Reply.of_json({"files": answers})


def lfs_batch(call: Call) -> Reply:
    """Give an upload link for each large object that is not stored yet."""
    call.writable()
    answers = []
    for item in call.json()["objects"]:
        answer: dict[str, Any] = {"oid": item["oid"], "size": item["size"]}
        if item["oid"] not in call.hub.storage.objects:
            answer["actions"] = {
                "upload": {"href": _storage_link(call, item["oid"])},
                "verify": {"href": f"{call.hub.url}/{call.arguments['kind']}{call.arguments['name']}.git/verify"},
            }
        answers.append(answer)
    return Reply.of_json({"transfer": "basic", "objects": answers})


def lfs_upload(call: Call) -> Reply:
    _check_signature(call)
    if hashlib.sha256(call.body).hexdigest() != call.arguments["oid"]:
        raise HubError(400, "The content does not have the announced sha256")
    call.hub.storage.objects[call.arguments["oid"]] = call.body
    return Reply()


def lfs_verify(call: Call) -> Reply:
    call.writable()
    request = call.json()
    stored = call.hub.storage.objects.get(request["oid"])
    if stored is None or len(stored) != request["size"]:
        raise HubError(404, "Object does not exist")
    return Reply.of_json({"message": "ok"})


def commit(call: Call) -> Reply:
    repository = call.writable()
    lines = [json.loads(line) for line in call.body.splitlines()]
    oid = call.hub.storage.apply(repository, call.arguments["revision"], lines)
    url = f"{call.hub.url}/{call.arguments['kind']}/{repository.name}/commit/{oid}"
    return Reply.of_json({"success": True, "commitUrl": url, "commitOid": oid, "hookOutput": ""})


def resolve(call: Call) -> Reply:
    """A file's content, or for a large one a redirect to the storage host with what the client needs to know of it."""
    repository = call.readable()
    revision = repository.resolve(call.arguments["revision"])
    file = repository.commits[revision].get(call.arguments["path"])
    headers = {"X-Repo-Commit": revision}
    if file is None:
        error = HubError(404, "Entry not found", "EntryNotFound")
        missing = Reply.of_error(error)
        return Reply(missing.status, missing.body, missing.headers | headers)
    if not file.large:
        return _content(call, file.content, headers | {"ETag": f'"{file.oid}"'})
    linked = {"X-Linked-Etag": f'"{file.sha256}"', "X-Linked-Size": str(len(file.content))}
    return Reply(302, b"", headers | linked | {"Location": _storage_link(call, file.sha256)})


def download(call: Call) -> Reply:
    """A large object from the storage host."""
    _check_signature(call)
    oid = call.arguments["oid"]
    if oid not in call.hub.storage.objects:
        raise HubError(404, "NoSuchKey")
    return _content(call, call.hub.storage.objects[oid], {"ETag": f'"{oid}"'})


def _content(call: Call, content: bytes, headers: dict[str, str]) -> Reply:
    headers = headers | {"Accept-Ranges": "bytes", "Content-Type": "application/octet-stream"}
    match = re.fullmatch(r"bytes=(\d*)-(\d*)", call.headers.get("Range") or "")
    if match is None or match.groups() == ("", ""):
        return Reply(200, content, headers)
    first, last = match.groups()
    if first:
        start, stop = int(first), min(int(last or len(content)) + 1, len(content))
    else:
        start, stop = max(len(content) - int(last), 0), len(content)
    if start >= len(content):
        return Reply(416, b"", headers | {"Content-Range": f"bytes */{len(content)}"})
    part = {"Content-Range": f"bytes {start}-{stop - 1}/{len(content)}"}
    return Reply(206, content[start:stop], headers | part)


def _storage_link(call: Call, oid: str) -> str:
    return f"{call.hub.storage_url}/objects/{oid}?X-Amz-Signature={call.hub.signature}"


def _check_signature(call: Call) -> None:
    if call.query.get("X-Amz-Signature") != [call.hub.signature]:
        raise HubError(403, "SignatureDoesNotMatch")


def _file_entry(path: str, file: File) -> dict[str, Any]:
    entry: dict[str, Any] = {"type": "file", "path": path, "size": len(file.content), "oid": file.blob_id}
    if file.large:
        entry["lfs"] = {"oid": file.sha256, "size": len(file.content), "pointerSize": 130}
    return entry


def _folder_entry(path: str) -> dict[str, Any]:
    return {"type": "directory", "path": path, "size": 0, "oid": hashlib.sha1(path.encode()).hexdigest()}


def _form_or_json(call: Call) -> dict[str, Any]:
    if "json" in call.headers.get("Content-Type", ""):
        return call.json()
    return parse_qs(call.body.decode())


_API = r"/api/(?P<kind>models|datasets)/(?P<name>[^/]+/[^/]+)"
_PAGE = r"/(?P<kind>(?:datasets/)?)(?P<name>[^/]+/[^/]+?)"
_REVISION = r"(?P<revision>[^/]+)"

# (name, method, pattern of the quoted path, function); the first that matches answers.
ROUTES: list[tuple[str, str, str, Callable[[Call], Reply]]] = [
    ("whoami", "GET", r"/api/whoami-v2", who_am_i),
    ("validate_card", "POST", r"/api/validate-yaml", validate_card),
    ("create_repo", "POST", r"/api/repos/create", create_repo),
    ("info", "GET", rf"{_API}(?:/revision/{_REVISION})?", info),
    ("refs", "GET", rf"{_API}/refs", refs),
    ("create_branch", "POST", rf"{_API}/branch/{_REVISION}", create_branch),
    ("tree", "GET", rf"{_API}/tree/{_REVISION}(?:/(?P<path>.+))?", tree),
    ("paths_info", "POST", rf"{_API}/paths-info/{_REVISION}", paths_info),
    ("preupload", "POST", rf"{_API}/preupload/{_REVISION}", preupload),
    ("commit", "POST", rf"{_API}/commit/{_REVISION}", commit),
    ("lfs_batch", "POST", rf"{_PAGE}\.git/info/lfs/objects/batch", lfs_batch),
    ("lfs_verify", "POST", rf"{_PAGE}\.git/verify", lfs_verify),
    ("lfs_upload", "PUT", r"/objects/(?P<oid>[0-9a-f]{64})", lfs_upload),
    ("download", "GET", r"/objects/(?P<oid>[0-9a-f]{64})", download),
    ("resolve", "GET", rf"{_PAGE}/resolve/{_REVISION}/(?P<path>.+)", resolve),
]
