"""What the loopback Hub keeps in memory: accounts, repositories with their branches and commits, large objects."""

import base64
import hashlib
import json
import threading
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Literal

Kind = Literal["model", "dataset"]
Tree = dict[str, "File"]

# The suffixes that a new repository's .gitattributes sends to large-file storage, of those that this package writes.
LARGE_SUFFIXES = (".tar", ".parquet", ".safetensors", ".bin", ".pkl", ".png", ".webp", ".jpg", ".jpeg")
LARGE_SIZE = 10 * 2**20


class HubError(Exception):
    """A refusal, with the status, message and error code that the Hub would answer."""

    def __init__(self, status: int, message: str, code: str | None = None, **extra: Any) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.body = {"error": message, **extra}


@dataclass(frozen=True)
class File:
    """One file of one commit; ``large`` files are stored by sha256, as Git LFS does."""

    content: bytes
    large: bool

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.content).hexdigest()

    @property
    def blob_id(self) -> str:
        """What git calls the object: the sha1 of the content, or of the pointer that stands for a large file."""
        content = self.content
        if self.large:
            pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{self.sha256}\nsize {len(content)}\n"
            content = pointer.encode()
        return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()

    @property
    def oid(self) -> str:
        """What a client compares its local file with, to skip what has not changed."""
        return self.sha256 if self.large else self.blob_id


@dataclass
class Repository:
    """A git repository as the Hub's API shows it: branches that point to commits, commits that hold a tree."""

    kind: Kind
    name: str
    private: bool
    branches: dict[str, str] = field(default_factory=dict)
    commits: dict[str, Tree] = field(default_factory=dict)

    @property
    def owner(self) -> str:
        return self.name.split("/")[0]

    def commit(self, branch: str, tree: Tree) -> str:
        """Make ``tree`` the head of ``branch`` and return the commit's id."""
        listing = json.dumps([len(self.commits), *sorted((path, file.oid) for path, file in tree.items())])
        commit = hashlib.sha1(listing.encode()).hexdigest()
        self.commits[commit] = tree
        self.branches[branch] = commit
        return commit

    def resolve(self, revision: str) -> str:
        """The commit that a branch name or a commit id stands for."""
        commit = self.branches.get(revision.removeprefix("refs/heads/"), revision)
        if commit not in self.commits:
            raise HubError(404, f"Invalid rev id: {revision}", "RevisionNotFound")
        return commit

    def tree(self, revision: str) -> Tree:
        return self.commits[self.resolve(revision)]


class Storage:
    """Every account, repository and large object of one loopback Hub.

    Args:
        accounts: user name of each token. A user writes in the namespace that bears the user's name, and reads there
            what is private.
    """

    def __init__(self, accounts: dict[str, str]) -> None:
        self.accounts = accounts
        self.repositories: dict[tuple[str, str], Repository] = {}
        self.objects: dict[str, bytes] = {}
        self.lock = threading.RLock()

    def create(self, kind: Kind, name: str, user: str | None, private: bool) -> Repository:
        owner = name.split("/")[0]
        if user is None:
            raise HubError(401, "Invalid username or password.")
        if owner != user:
            raise HubError(403, f'You don\'t have the rights to create a {kind} under the namespace "{owner}"')
        if (kind, name) in self.repositories:
            raise HubError(409, f"You already created this {kind} repo", url=name)
        repository = self.repositories[kind, name] = Repository(kind, name, private)
        attributes = "".join(f"*{suffix} filter=lfs diff=lfs merge=lfs -text\n" for suffix in LARGE_SUFFIXES)
        repository.commit("main", {".gitattributes": File(attributes.encode(), large=False)})
        return repository

    def readable(self, kind: str, name: str, user: str | None) -> Repository:
        """The repository, if ``user`` may read it; what is private looks to others as if it did not exist."""
        repository = self.repositories.get((kind, name))
        if repository is None or (repository.private and repository.owner != user):
            if user is None:
                raise HubError(401, "Invalid username or password.", "RepoNotFound")
            raise HubError(404, "Repository not found", "RepoNotFound")
        return repository

    def writable(self, kind: str, name: str, user: str | None) -> Repository:
        repository = self.readable(kind, name, user)
        if user is None:
            raise HubError(401, "Invalid username or password.")
        if repository.owner != user:
            raise HubError(403, "Forbidden: pass `create_pr=1` as a query parameter to create a Pull Request")
        return repository

    def apply(self, repository: Repository, branch: str, lines: Iterable[dict[str, Any]]) -> str:
        """Commit the operations of an NDJSON commit request and return the commit's id."""
        if branch not in repository.branches:
            raise HubError(404, f"Invalid rev id: {branch}", "RevisionNotFound")
        tree = dict(repository.tree(branch))
        for line in lines:
            self._apply_one(repository, branch, tree, line["key"], line["value"])
        return repository.commit(branch, tree)

    def _apply_one(self, repository: Repository, branch: str, tree: Tree, key: str, value: dict[str, Any]) -> None:
        match key:
            case "header":
                if value.get("parentCommit", repository.branches[branch]) != repository.branches[branch]:
                    raise HubError(412, "A commit has happened since. Please refresh and try again.")
            case "file":
                tree[value["path"]] = File(base64.b64decode(value["content"]), large=False)
            case "lfsFile":
                if value["oid"] not in self.objects:
                    raise HubError(400, f"Your push was rejected: LFS object {value['oid']} does not exist")
                tree[value["path"]] = File(self.objects[value["oid"]], large=True)
            case "deletedFile":
                if tree.pop(value["path"], None) is None:
                    raise HubError(404, "A file with this name doesn't exist", "EntryNotFound")
            case "deletedFolder":
                prefix = value["path"].rstrip("/") + "/"
                for path in [path for path in tree if path.startswith(prefix)]:
                    del tree[path]
            case _:
                raise HubError(400, f"unknown commit operation {key!r}")
