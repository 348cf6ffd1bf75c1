"""OpenClaw as a user runs it: a configuration, a workspace, and one command for each message."""

import contextlib
import copy
import json
import subprocess

from stage import PATIENCE, check, free_port, until

#: How a model of ours is described to it.
MODEL = {
    "id": "opus",
    "name": "Claude Code opus",
    "reasoning": False,
    "input": ["text", "image"],
    "cost": {"input": 0, "output": 0, "cacheRead": 0, "cacheWrite": 0},
    "contextWindow": 200000,
    "maxTokens": 32000,
}

#: One turn takes half a minute on a busy machine, nearly all of it to start.
DEADLINE = 3 * PATIENCE


class OpenClaw:
    """An installation with a home of its own.

    `bases` are the gateways, of which the first is asked first. With `named` a conversation is
    named to them; `more` is merged into the configuration.
    """

    def __init__(self, run, bases, named=True, more=None):
        self.run = run
        self.home = run.home
        self.workspace = self.home / "workspace"
        self.workspace.mkdir()
        model = copy.deepcopy(MODEL)
        if named:
            model["compat"] = {"supportsPromptCacheKey": True}
        providers = {
            f"ccpool{number}": {"baseUrl": base, "apiKey": "interop-key", "api": "openai-completions", "models": [model]}
            for number, base in enumerate(bases, 1)
        }
        first, *others = (f"{name}/opus" for name in providers)
        self.port = free_port()
        self.local = ["--local"]
        configuration = {
            "gateway": {"mode": "local", "port": self.port, "auth": {"mode": "token", "token": "interop-token"}},
            "models": {"mode": "replace", "providers": providers},
            "agents": {"defaults": {"model": {"primary": first, "fallbacks": others}, "workspace": str(self.workspace)}},
            **(more or {}),
        }
        folder = self.home / ".openclaw"
        folder.mkdir()
        (folder / "openclaw.json").write_text(json.dumps(configuration))

    @contextlib.contextmanager
    def gateway(self):
        """While its own gateway runs, which then has the turns."""
        with open(self.home / "gateway.log", "w") as log:
            process = subprocess.Popen(self.command("gateway", "run"), stdout=log, stderr=log, **self.surroundings())
        try:

            def answers():
                check(process.poll() is None, f"OpenClaw's gateway has ended; see {log.name}")
                health = subprocess.run(self.command("gateway", "health"), capture_output=True, **self.surroundings())
                return health.returncode == 0

            until(answers, "OpenClaw's gateway answers")
            self.local = []
            yield
        finally:
            process.terminate()
            process.wait()

    def command(self, *words):
        node = self.run.told["node"]
        return [f"{node}/node", self.run.told["openclaw"], *words]

    def surroundings(self):
        path = f"{self.run.told['node']}:/usr/bin:/bin"
        environment = {"PATH": path, "HOME": str(self.home), "LANG": "C.UTF-8", "TERM": "dumb"}
        return {"env": environment, "cwd": self.home, "stdin": subprocess.DEVNULL}

    def say(self, message):
        """One turn; what the user is shown, and what is told of the turn."""
        command = self.command("agent", *self.local, "--agent", "main", "--session-id", "t1", "--json", "--message", message)
        turn = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE, **self.surroundings())
        check(turn.returncode == 0, f"OpenClaw ends with {turn.returncode}: {turn.stderr[-800:]}")
        told = json.loads(turn.stdout)
        told = told.get("result", told)
        return "\n".join(payload["text"] or "" for payload in told["payloads"]), told["meta"]["agentMeta"]
