"""OpenClaw as a user runs it: a configuration, a workspace, and one command for each message."""

import copy
import json
import subprocess

from stage import PATIENCE, check

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
        configuration = {
            "models": {"mode": "replace", "providers": providers},
            "agents": {"defaults": {"model": {"primary": first, "fallbacks": others}, "workspace": str(self.workspace)}},
            **(more or {}),
        }
        folder = self.home / ".openclaw"
        folder.mkdir()
        (folder / "openclaw.json").write_text(json.dumps(configuration))

    def say(self, message):
        """One turn; what the user is shown, and what is told of the turn."""
        node = self.run.told["node"]
        command = [f"{node}/node", self.run.told["openclaw"], "agent", "--local", "--agent", "main"]
        command += ["--session-id", "t1", "--json", "--message", message]
        environment = {"PATH": f"{node}:/usr/bin:/bin", "HOME": str(self.home), "LANG": "C.UTF-8", "TERM": "dumb"}
        turn = subprocess.run(
            command,
            env=environment,
            cwd=self.home,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=DEADLINE,
        )
        check(turn.returncode == 0, f"OpenClaw ends with {turn.returncode}: {turn.stderr[-800:]}")
        told = json.loads(turn.stdout)
        return "\n".join(payload["text"] or "" for payload in told["payloads"]), told["meta"]["agentMeta"]
