"""Open WebUI: its server with an account, asked as its page asks it."""

import contextlib
import json
import os
import subprocess
import uuid

import httpx

from recorder import session_of
from stage import PATIENCE, case, check, equal, free_port, main, once, until

#: As the manual has it.
HEADERS = {"X-Session-Id": "{{CHAT_ID}}{{TASK}}"}

#: What makes titles begins with this.
TASK = "### Task:"


class WebUi:
    """A server with a home of its own, and the first user's account."""

    def __init__(self, run, base, environment):
        port = free_port()
        command = [run.told["openwebui"], "serve", "--host", "127.0.0.1", "--port", str(port)]
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(run.home),
            "LANG": "C.UTF-8",
            "DATA_DIR": str(run.home / "data"),
            "WEBUI_SECRET_KEY": "interop",
            "OPENAI_API_BASE_URLS": base,
            "OPENAI_API_KEYS": "interop-key",
            "ENABLE_OLLAMA_API": "false",
            # Nothing is fetched: no models for embeddings, no news.
            "OFFLINE_MODE": "true",
            "RAG_EMBEDDING_ENGINE": "openai",
            **environment,
        }
        (run.home / "data").mkdir()
        self.log = open(run.home / "server.log", "w")
        self.process = subprocess.Popen(command, cwd=run.home, env=environment, stdout=self.log, stderr=self.log)
        self.http = httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=PATIENCE, trust_env=False)

    def begin(self):
        """Waits for it, and signs its first user up."""

        def answers():
            check(self.process.poll() is None, f"the server has ended; see {self.log.name}")
            try:
                return self.http.get("/health").is_success
            except httpx.TransportError:
                return None

        until(answers, "Open WebUI answers")
        account = {"name": "A user", "email": "user@example.com", "password": "interop"}
        token = self.post("/api/v1/auths/signup", account)["token"]
        self.http.headers["Authorization"] = f"Bearer {token}"

    def close(self):
        self.http.close()
        self.process.terminate()
        self.process.wait()
        self.log.close()

    def post(self, path, body):
        answer = self.http.post(path, json=body)
        check(answer.is_success, f"{path}: {answer.status_code} {answer.text[:800]}")
        return answer.json()

    def get(self, path):
        answer = self.http.get(path)
        check(answer.is_success, f"{path}: {answer.status_code} {answer.text[:800]}")
        return answer.json()


class Chat:
    """A chat as its page keeps it: messages with names, each with the one before it."""

    def __init__(self, ui, model):
        self.ui, self.model = ui, model
        self.id, self.parent, self.messages = None, None, []

    def say(self, text, tasks=None):
        """One message; the text that the page shows as its answer."""
        user = {
            "id": str(uuid.uuid4()), "parentId": self.parent, "childrenIds": [],
            "role": "user", "content": text, "models": [self.model],
        }
        answer = str(uuid.uuid4())
        self.messages.append({"role": "user", "content": text})
        told = self.ui.post("/api/chat/completions", {
            "model": self.model, "stream": True, "messages": self.messages, "session_id": "page",
            "id": answer, "parent_id": self.parent, "user_message": user,
            "background_tasks": tasks or {}, **({"chat_id": self.id} if self.id else {}),
        })
        self.id = told["chat_id"]
        message = until(lambda: self.done(answer), "the answer is complete")
        self.parent = answer
        self.messages.append({"role": "assistant", "content": message["content"]})
        check(not message.get("error"), f"the answer has an error: {message.get('error')}")
        return message["content"]

    def done(self, name):
        chat = self.ui.get(f"/api/v1/chats/{self.id}")["chat"]
        message = chat["history"]["messages"].get(name, {})
        return message if message.get("done") else None


@contextlib.contextmanager
def web_ui(run, base, **environment):
    ui = WebUi(run, base, environment)
    try:
        ui.begin()
        yield ui
    finally:
        ui.close()


def asked(way):
    return [one for one in way.exchanges if one["path"].endswith("/chat/completions")]


def of_chat(way):
    """What was asked for the chat itself, and not for its title."""
    return [one for one in asked(way) if TASK not in json.dumps(one["body"]["messages"])]


def two_turns(run, way, ui):
    """A chat of two turns, and a title that is asked for beside it; the chat's name, and its session."""
    chat = Chat(ui, "docker-claude-code/opus")
    text = chat.say("Please. [[script:greeting]]", {"title_generation": True})
    equal(text, "Good morning from the first gateway.", "the first answer")
    until(lambda: len(asked(way)) > len(of_chat(way)), "a title is asked for")
    text = chat.say("And something else. [[script:second]]")
    equal(text, "This is the second answer.", "the second answer")
    sessions = {session_of(one) for one in of_chat(way)}
    equal(len(sessions), 1, f"sessions that answered the chat ({sessions})")
    [session] = sessions
    check(run.main.container(session), "the chat's session has no container")
    seen = [one for one in run.seen() if TASK not in one.text()]
    equal(len({one.process for one in seen}), 1, "processes of the CLI that asked the model")
    once(seen[-1].text(), "[[script:greeting]]", "what the model saw at last")
    titles = {session_of(one) for one in asked(way)} - sessions
    equal(len(titles), 1, f"other sessions that gave a title ({titles})")
    return chat.id, session


@case("models are listed")
def models(run):
    with web_ui(run, run.main.base) as ui:
        listed = {model["id"] for model in ui.get("/api/models")["data"]}
        check({"opus", "docker-claude-code/opus"} <= listed, f"models: {listed}")


@case("a chat goes on in its container, and its title is asked for elsewhere")
def headers(run):
    way = run.record(run.main)
    with web_ui(run, way.base, OPENAI_API_CONFIGS=json.dumps({"0": {"headers": HEADERS}})) as ui:
        chat, session = two_turns(run, way, ui)
    equal(session, chat, "the session's name")


@case("the same by the headers that it can forward")
def forwarded(run):
    way = run.record(run.main)
    with web_ui(run, way.base, ENABLE_FORWARD_USER_INFO_HEADERS="true") as ui:
        two_turns(run, way, ui)


main()
