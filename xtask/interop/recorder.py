"""A way to a gateway that writes down what goes over it: what a client really sends and gets."""

import http.client
import json
import sys
import threading
import urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

#: Of the connection, not of the message.
OWN = ("connection", "transfer-encoding", "content-length", "date", "server")


class Recorder:
    """Listens on a port of its own and passes everything on, words as they come."""

    def __init__(self, to, name):
        self.exchanges = []
        self.to = urllib.parse.urlsplit(to)
        self.name = name
        recorder = self

        class Handler(Passing):
            owner = recorder

        self.server = Server(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.base = f"http://127.0.0.1:{self.server.server_port}/v1"

    def close(self):
        """Takes no more requests."""
        self.server.shutdown()
        self.server.server_close()


class Server(ThreadingHTTPServer):
    """Clients may go away when they like."""

    daemon_threads = True

    def handle_error(self, request, client_address):
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


class Passing(BaseHTTPRequestHandler):
    """Passes one request on."""

    protocol_version = "HTTP/1.1"
    owner = None

    def log_message(self, *arguments):
        """Nothing: what is worth telling is recorded."""

    def pass_on(self):
        raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        exchange = {
            "to": self.owner.name,
            "method": self.command,
            "path": self.path,
            "headers": {name.lower(): value for name, value in self.headers.items()},
            "body": parsed(raw),
            "status": None,
            "answerHeaders": {},
            "answer": "",
        }
        self.owner.exchanges.append(exchange)
        upstream = http.client.HTTPConnection(self.owner.to.hostname, self.owner.to.port)
        try:
            self.ask(upstream, raw)
            self.answer(upstream.getresponse(), exchange)
        except (BrokenPipeError, ConnectionResetError, http.client.HTTPException):
            exchange["brokenOff"] = True
            self.close_connection = True
        finally:
            upstream.close()

    do_GET = do_POST = do_DELETE = pass_on

    def ask(self, upstream, raw):
        upstream.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
        for name, value in self.headers.items():
            if name.lower() not in ("connection", "transfer-encoding"):
                upstream.putheader(name, value)
        upstream.endheaders(raw or None)

    def answer(self, response, exchange):
        exchange["status"] = response.status
        exchange["answerHeaders"] = {name.lower(): value for name, value in response.getheaders()}
        self.send_response(response.status)
        for name, value in response.getheaders():
            if name.lower() not in OWN:
                self.send_header(name, value)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        while piece := response.read1(65536):
            exchange["answer"] += piece.decode("utf-8", "replace")
            self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
            self.wfile.flush()
        self.wfile.write(b"0\r\n\r\n")


def parsed(raw):
    try:
        return json.loads(raw) if raw else None
    except ValueError:
        return raw.decode("utf-8", "replace")


def chunks_of(answer):
    """The chunks of a recorded stream, without `[DONE]` and comments."""
    lines = [line[len("data: ") :] for line in answer.splitlines() if line.startswith("data: ")]
    return [json.loads(line) for line in lines if line != "[DONE]"]


def session_of(exchange):
    """Which session of the gateway has answered."""
    return exchange["answerHeaders"].get("x-ccpool-session")
