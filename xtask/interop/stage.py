"""What the cases of all clients share: where things are, and a line of JSON for each case.

A script is started as `python SCRIPT STAGE.json [PART OF A CASE'S NAME ...]`.
"""

import json
import pathlib
import re
import socket
import sys
import time
import traceback
import typing
import urllib.error
import urllib.request

import pydantic

from recorder import Recorder, session_of

CASES = []

#: A function of a client's own.
WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Weather of a town",
        "parameters": {"type": "object", "properties": {"town": {"type": "string"}}, "required": ["town"]},
    },
}

class Quarter(pydantic.BaseModel):
    """A part of a town."""

    name: str


class Town(pydantic.BaseModel):
    """The form of an answer."""

    name: str = pydantic.Field(description="as its people write it", examples=["Ulm"])
    river: typing.Literal["rhine", "danube"]
    mayor: str | None
    quarters: list[Quarter]


#: How the scene `town` answers in it.
BONN = Town(name="Bonn", river="rhine", mayor=None, quarters=[Quarter(name="Beuel")])

#: For whatever has to come, on a slow machine.
PATIENCE = 120


class Failed(Exception):
    """Something did not hold; the text says what."""


def check(holds, what):
    """Fails the case with `what` unless it holds."""
    if not holds:
        raise Failed(what)


def equal(got, wanted, what):
    """Fails the case unless both are equal."""
    check(got == wanted, f"{what}: {got!r}, where {wanted!r} was wanted")


def once(text, words, where):
    """Fails the case unless `words` stand in `text` exactly once."""
    count = text.count(words)
    check(count == 1, f"{words!r} stands {count} times in {where}")


def one_container(run, way, requests):
    """All requests were answered well, in one session, container and process of the CLI."""
    equal([one["status"] for one in way.exchanges], [200] * requests, "statuses")
    sessions = {session_of(one) for one in way.exchanges}
    equal(len(sessions), 1, f"sessions that answered ({sessions})")
    [session] = sessions
    check(run.main.container(session), f"the session {session} has no container")
    equal(len({one.process for one in run.seen()}), 1, "processes of the CLI that asked the model")


def free_port():
    """A port on loopback that nobody has; one that is told it must take it soon."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        return free.getsockname()[1]


def until(look, what):
    """Looks until something true is found; gives that."""
    deadline = time.monotonic() + PATIENCE
    while True:
        found = look()
        if found:
            return found
        check(time.monotonic() < deadline, f"waited {PATIENCE} s in vain: {what}")
        time.sleep(0.1)


def case(name):
    """Makes a case of a function, which gets a `Run`."""

    def add(function):
        CASES.append((name, function))
        return function

    return add


class Site:
    """A gateway and the scripted model behind it."""

    #: The newest request of each model, as far as somebody has looked.
    seen_last = {}

    def __init__(self, name, told):
        self.name = name
        self.url = told["url"]
        self.base = told["url"] + "/v1"
        self.model = told["model"]

    def container(self, session):
        """The container that serves a session; None when nobody knows the session."""
        try:
            return fetch(f"{self.url}/api/docker-cc/sessions/{session}").get("container")
        except urllib.error.HTTPError as error:
            if error.code == 404:
                return None
            raise

    def sessions(self):
        """The names of all sessions."""
        listed = fetch(f"{self.url}/api/docker-cc/sessions")["sessions"]
        return [session["session"] for session in listed]

    def claim(self):
        """Claims a container past the OpenAI API; the session."""
        return fetch(f"{self.url}/api/docker-cc/sessions", {})["session"]

    def end(self, session):
        """Ends a session, with its container."""
        fetch(f"{self.url}/api/docker-cc/sessions/{session}", method="DELETE")

    def free(self):
        """Ends what conversations are left of earlier cases, and waits for a warm container."""
        for session in self.sessions():
            self.end(session)

        def look():
            containers = fetch(f"{self.url}/api/docker-cc/pool")["containers"]
            return any(one["state"] == "warm" for one in containers)

        until(look, f"{self.name} has a warm container")

    def well(self):
        """Waits until it answers again after a failure."""

        def answered():
            body = {"model": "opus", "messages": [{"role": "user", "content": "Are you well?"}]}
            try:
                return fetch(f"{self.base}/chat/completions", body)
            except urllib.error.HTTPError:
                return None

        until(answered, f"{self.name} is well")

    def last(self):
        """The number of the newest request that the model has seen."""
        Site.seen_last[self.model] = fetch(f"{self.model}/_scripted/requests?since={Site.seen_last.get(self.model, 0)}")["last"]
        return Site.seen_last[self.model]

    def seen(self, since):
        """What the model was asked after the request of that number, oldest first."""
        listed = fetch(f"{self.model}/_scripted/requests?since={since}")["requests"]
        # With one token the CLI only looks whether the model is there.
        return [Seen(one) for one in listed if one["body"] and one["maxTokens"] != 1]


class Seen:
    """A request as the model has seen it."""

    def __init__(self, record):
        self.record = record
        self.body = record["body"]
        self.process = record["sessionId"]
        self.outcome = record["outcome"]

    def system(self):
        """The system prompt."""
        return "\n".join(texts_of(self.body.get("system")))

    def text(self):
        """All words of all messages, results of tools included."""
        return "\n".join(
            text for message in self.body["messages"] for text in texts_of(message["content"])
        )

    def blocks(self, kind):
        """All blocks of a kind, also those in results of tools."""
        return [
            block for message in self.body["messages"] for block in blocks_of(message["content"]) if block["type"] == kind
        ]


def blocks_of(content):
    for block in content if isinstance(content, list) else []:
        yield block
        if block["type"] == "tool_result":
            yield from blocks_of(block.get("content"))


def texts_of(content):
    if isinstance(content, str):
        return [content]
    texts = []
    for block in content or []:
        if block["type"] == "text":
            texts.append(block["text"])
        elif block["type"] == "tool_result":
            texts += texts_of(block.get("content"))
    return texts


def fetch(url, body=None, method=None):
    """JSON from one of our own servers; None where it answers nothing."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"}, method=method)
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=PATIENCE) as answer:
        said = answer.read()
    return json.loads(said) if said else None


class Run:
    """One case being run."""

    def __init__(self, told, name):
        self.main = Site("main", told["main"])
        self.other = Site("other", told["other"])
        self.told = told
        self.slug = re.sub("[^a-z0-9]+", "-", name.lower()).strip("-")
        self.home = pathlib.Path(told["home"]) / self.slug
        self.home.mkdir()
        self.recorders = []
        self.began = {site: site.last() for site in (self.main, self.other)}

    def record(self, site):
        """A way to a gateway that writes down what goes over it."""
        recorder = Recorder(site.url, site.name)
        self.recorders.append(recorder)
        return recorder

    def seen(self, site=None):
        """What the model has been asked since the case began."""
        site = site or self.main
        return site.seen(self.began[site])

    def close(self):
        for recorder in self.recorders:
            recorder.close()

    def keep(self):
        """Writes down what went to and fro; the file."""
        kept = {
            "exchanges": [exchange for recorder in self.recorders for exchange in recorder.exchanges],
            "model": {site.name: [one.record for one in self.seen(site)] for site in self.began},
        }
        file = pathlib.Path(self.told["records"]) / f"{self.slug}.json"
        file.write_text(json.dumps(kept, indent=1, ensure_ascii=False, default=str))
        return str(file)


def main():
    """Runs the cases of the script that calls this."""
    told = json.loads(pathlib.Path(sys.argv[1]).read_text())
    chosen = sys.argv[2:]
    for name, function in CASES:
        if chosen and not any(part in name for part in chosen):
            continue
        began = time.monotonic()
        run = Run(told, name)
        failure = records = None
        try:
            function(run)
        except Failed as error:
            failure = str(error)
        except Exception as error:
            traceback.print_exc()
            failure = f"{type(error).__name__}: {error}"
        finally:
            if failure:
                records = run.keep()
            run.close()
        seconds = round(time.monotonic() - began, 2)
        print(json.dumps({"case": name, "failure": failure, "records": records, "seconds": seconds}), flush=True)
