"""Which function answers which request."""

import re
from collections.abc import Callable
from urllib.parse import unquote

from tests.hub_server import files, repositories
from tests.hub_server.answer import Answer, Call

# The first match counts. {repo} is one part of a path or two, {path} any number, other names are one; all are unquoted.
ROUTES: list[tuple[str, str, Callable[[Call], Answer]]] = [
    ("GET", "/api/whoami-v2", repositories.whoami),
    ("GET", "/api/agent-harnesses", repositories.agent_harnesses),
    ("POST", "/api/validate-yaml", repositories.validate_yaml),
    ("POST", "/api/repos/create", repositories.create),
    ("DELETE", "/api/repos/delete", repositories.delete),
    ("GET", "/api/models", repositories.listing),
    ("GET", "/api/models/{repo}/auth-check", repositories.auth_check),
    ("GET", "/api/models/{repo}/refs", repositories.refs),
    ("POST", "/api/models/{repo}/branch/{branch}", repositories.create_branch),
    ("DELETE", "/api/models/{repo}/branch/{branch}", repositories.delete_branch),
    ("POST", "/api/models/{repo}/tag/{revision}", repositories.create_tag),
    ("DELETE", "/api/models/{repo}/tag/{tag}", repositories.delete_tag),
    ("POST", "/api/models/{repo}/discussions", repositories.open_pull),
    ("GET", "/api/models/{repo}/discussions/{number}", repositories.pull_details),
    ("POST", "/api/models/{repo}/discussions/{number}/merge", repositories.merge_pull),
    ("GET", "/api/models/{repo}/tree/{revision}", files.tree),
    ("GET", "/api/models/{repo}/tree/{revision}/{path}", files.tree),
    ("POST", "/api/models/{repo}/paths-info/{revision}", files.paths_info),
    ("GET", "/api/models/{repo}/commits/{revision}", files.commits),
    ("POST", "/api/models/{repo}/preupload/{revision}", files.preupload),
    ("POST", "/api/models/{repo}/commit/{revision}", files.commit),
    ("GET", "/api/models/{repo}/revision/{revision}", repositories.info),
    ("GET", "/api/models/{repo}", repositories.info),
    ("POST", "/{repo}.git/info/lfs/objects/batch", files.lfs_batch),
    ("POST", "/{repo}.git/info/lfs/objects/verify", files.lfs_verify),
    ("PUT", "/lfs/{oid}", files.lfs_put),
    ("GET", "/{repo}/resolve/{revision}/{path}", files.resolve),
]
KINDS = {"repo": r"[^/]+(?:/[^/]+)?", "path": r".+"}


def _pattern(template: str) -> re.Pattern[str]:
    literal = re.escape(template).replace(r"\{", "{").replace(r"\}", "}")
    return re.compile(re.sub(r"{(\w+)}", lambda name: f"(?P<{name[1]}>{KINDS.get(name[1], '[^/]+')})", literal))


PATTERNS = [(method, _pattern(template), function) for method, template, function in ROUTES]


def find(method: str, quoted_path: str) -> tuple[Callable[[Call], Answer], dict[str, str]] | None:
    """The function for a path as it came over the wire, and the names in it. A HEAD is a GET whose body stays here."""
    method = "GET" if method == "HEAD" else method
    for known, pattern, function in PATTERNS:
        match = pattern.fullmatch(quoted_path)
        if known == method and match:
            return function, {name: unquote(value) for name, value in match.groupdict().items()}
    return None
