"""A real registry on loopback, for tests in the sandbox: Debian's `docker-registry`.

    with Registry(tmp_path, access=TOKEN, tls=True) as registry:
        registry.address     # 127.0.0.1:PORT
        registry.authority   # the certificate to trust: REQUESTS_CA_BUNDLE, or skopeo's --cert-dir

Access: OPEN asks nobody; BASIC and TOKEN know the one user USER with PASSWORD. With TOKEN there is a
server of tokens beside it, which gives anybody what only reads (`token_server.asked` tells who wanted
what); its tokens are signed by a key made here, as the registry wants them (JWT, RS256). Blobs and
manifests can be deleted. The content lies in DIRECTORY/registry and stays; the log is DIRECTORY/registry.log.
"""

from __future__ import annotations

import base64
import json
import socket
import subprocess
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import parse_qs, urlsplit

from tests.patience import patience

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType
    from typing import Any, Self

HOST = "127.0.0.1"
OPEN, BASIC, TOKEN = "open", "basic", "token"
USER, PASSWORD = "somebody", "secret"
HTPASSWD = f"{USER}:$2y$05$abcdefghijklmnopqrstuuOQiyCxlgf/oeuTqixKmWdcYUh4Hjl0a\n"  # bcrypt of PASSWORD
SERVICE, ISSUER = "registry.example", "tokens.example"
TOKEN_SECONDS = 300
PATIENCE_S = patience(10.0)
SETTINGS = """
version: 0.1
log: {{level: error, accesslog: {{disabled: true}}}}
storage: {{filesystem: {{rootdirectory: "{directory}/registry"}}, delete: {{enabled: true}}}}
http: {{addr: "{address}", host: "{url}"{tls}}}
"""


class Certificate(NamedTuple):
    """A certificate and its key, both PEM files."""

    certificate: Path
    key: Path


class Asked(NamedTuple):
    """A request for a token; user: empty where nobody's name came."""

    user: str
    scopes: tuple[str, ...]


class Registry:
    """One process; it is ended with the block."""

    def __init__(self, directory: Path, access: str = OPEN, tls: bool = False) -> None:
        self.directory = directory
        self.address = f"{HOST}:{_free_port()}"
        self.url = f"{'https' if tls else 'http'}://{self.address}"
        self.authority: Path | None = make_authority(directory).certificate if tls else None
        self.token_server = TokenServer(directory) if access == TOKEN else None
        self._access = access
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        settings = self.directory / "registry.yml"
        settings.write_text(self._settings())
        log = self.directory / "registry.log"
        with open(log, "wb") as file:
            self._process = subprocess.Popen(["docker-registry", "serve", str(settings)], stdout=file, stderr=file)
        deadline = time.monotonic() + PATIENCE_S
        while not self._listens():
            if time.monotonic() > deadline or self._process.poll() is not None:
                self.close()
                raise RuntimeError(f"docker-registry: {log.read_text()}")
            time.sleep(0.02)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the processes and threads."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait()
            self._process = None
        if self.token_server is not None:
            self.token_server.close()

    def _settings(self) -> str:
        tls = ""
        if self.authority is not None:
            mine = make_certificate(self.directory, "registry")
            tls = f', tls: {{certificate: "{mine.certificate}", key: "{mine.key}"}}'
        settings = SETTINGS.format(directory=self.directory, address=self.address, url=self.url, tls=tls)
        if self._access == BASIC:
            (self.directory / "htpasswd").write_text(HTPASSWD)
            settings += f'auth: {{htpasswd: {{realm: "test", path: "{self.directory}/htpasswd"}}}}\n'
        elif self.token_server is not None:
            settings += (
                f'auth: {{token: {{realm: "{self.token_server.url}", service: "{SERVICE}", issuer: "{ISSUER}", '
                f'rootcertbundle: "{self.token_server.signer.certificate}"}}}}\n'
            )
        return settings

    def _listens(self) -> bool:
        host, _, port = self.address.partition(":")
        with socket.socket() as connection:
            return connection.connect_ex((host, int(port))) == 0


class TokenServer:
    """Gives tokens at `url`: reading to everybody, the rest to USER; 401 to whom it does not know.

    GET with `service`, `scope` (several) and Basic, or POST of a form as OAuth 2 has it, with the grants
    `password` and `refresh_token` (the refresh token is REFRESH). asked: what was wanted, in order.
    """

    REFRESH = "refresh-token-of-somebody"

    def __init__(self, directory: Path) -> None:
        self.signer = _self_signed(directory, "tokens")
        self.asked: list[Asked] = []
        self._server = ThreadingHTTPServer((HOST, 0), type("Handler", (_TokenHandler,), {"tokens": self}))
        self.url = f"http://{HOST}:{self._server.server_port}/token"
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def token(self, user: str, scopes: tuple[str, ...]) -> str:
        """Return a signed token for what somebody may do of what he wants."""
        self.asked.append(Asked(user, scopes))
        now = int(time.time())
        chain = [base64.b64encode(_der(self.signer.certificate)).decode()]
        claims = {
            **{"iss": ISSUER, "sub": user, "aud": SERVICE, "jti": str(len(self.asked))},
            **{"iat": now, "nbf": now - 10, "exp": now + TOKEN_SECONDS},
            "access": [_access(scope, bool(user)) for scope in scopes],
        }
        signed = f"{_part({'typ': 'JWT', 'alg': 'RS256', 'x5c': chain})}.{_part(claims)}"
        command = ["openssl", "dgst", "-sha256", "-sign", str(self.signer.key)]
        signature = subprocess.run(command, input=signed.encode(), check=True, capture_output=True).stdout
        return f"{signed}.{_text(signature)}"


class _TokenHandler(BaseHTTPRequestHandler):
    tokens: TokenServer

    def log_message(self, *arguments: object) -> None:
        """Keep the tests' output clean."""

    def do_GET(self) -> None:
        query = parse_qs(urlsplit(self.path).query)
        scheme, _, words = self.headers.get("authorization", "").partition(" ")
        if not scheme:
            return self._give("", query)
        user, _, password = base64.b64decode(words).decode().partition(":")
        return self._give(user, query) if (user, password) == (USER, PASSWORD) else self._refuse()

    def do_POST(self) -> None:
        form = parse_qs(self.rfile.read(int(self.headers.get("content-length", "0"))).decode())
        grant = form.get("grant_type", [""])[0]
        known = {
            "password": form.get("username") == [USER] and form.get("password") == [PASSWORD],
            "refresh_token": form.get("refresh_token") == [TokenServer.REFRESH],
        }
        return self._give(USER, form) if known.get(grant) else self._refuse()

    def _give(self, user: str, words: dict[str, list[str]]) -> None:
        scopes = tuple(scope for given in words.get("scope", []) for scope in given.split())
        token = self.tokens.token(user, scopes)
        self._answer(200, {"token": token, "access_token": token, "expires_in": TOKEN_SECONDS})

    def _refuse(self) -> None:
        self._answer(401, {"errors": [{"code": "UNAUTHORIZED", "message": "incorrect username or password"}]})

    def _answer(self, status: int, document: object) -> None:
        body = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def make_authority(directory: Path) -> Certificate:
    """Return the certificate authority of a directory; it is made when it is first asked for."""
    return _self_signed(directory, "authority")


def make_certificate(directory: Path, name: str) -> Certificate:
    """Make a certificate for 127.0.0.1 and localhost, signed by the directory's authority."""
    authority = make_authority(directory)
    made = Certificate(directory / f"{name}.pem", directory / f"{name}.key")
    request, extensions = directory / f"{name}.request", directory / f"{name}.extensions"
    fields = (f"subjectAltName=IP:{HOST},DNS:localhost", "basicConstraints=CA:FALSE", "authorityKeyIdentifier=keyid")
    extensions.write_text("\n".join(fields))
    _openssl(*f"req -new -newkey rsa:2048 -nodes -subj /CN={name}".split(), "-keyout", made.key, "-out", request)
    signing = ("-CA", authority.certificate, "-CAkey", authority.key, "-extfile", extensions)
    _openssl(*"x509 -req -days 2 -CAcreateserial".split(), *signing, "-in", request, "-out", made.certificate)
    return made


def _self_signed(directory: Path, name: str) -> Certificate:
    made = Certificate(directory / f"{name}.pem", directory / f"{name}.key")
    if not made.certificate.exists():
        usage = "-addext keyUsage=critical,keyCertSign,digitalSignature"  # Python 3.13 wants an authority to have it
        words = f"req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN={name} {usage}".split()
        _openssl(*words, "-keyout", made.key, "-out", made.certificate)
    return made


def _openssl(*words: str | Path) -> None:
    subprocess.run(["openssl", *words], check=True, capture_output=True)


def _der(certificate: Path) -> bytes:
    lines = certificate.read_text().splitlines()
    return base64.b64decode("".join(line for line in lines if not line.startswith("-----")))


def _access(scope: str, known: bool) -> dict[str, Any]:
    """Return what is granted of `repository:NAME:ACTION,…`; a name may have colons in it (a host's port)."""
    kind, _, rest = scope.partition(":")
    name, _, actions = rest.rpartition(":")
    granted = [action for action in actions.split(",") if known or action == "pull"]
    return {"type": kind, "name": name, "actions": granted}


def _part(document: object) -> str:
    return _text(json.dumps(document).encode())


def _text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _free_port() -> int:
    with socket.socket() as unused:
        unused.bind((HOST, 0))
        port: int = unused.getsockname()[1]
        return port
