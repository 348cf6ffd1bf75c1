"""LiteLLM, as a library, as a router with a second model to fall back to, and as its proxy."""

import contextlib
import json
import os
import pathlib
import subprocess
import sys

# Else it asks a server on the internet what models cost.
os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"

import litellm
import openai

from recorder import session_of
from stage import BONN, WEATHER, Failed, Town, case, check, equal, fetch, free_port, main, once, until

#: The proxy does not start without one, nor with a short one.
PROXY_KEY = "sk-interop-" + "0" * 48

litellm.suppress_debug_info = True
litellm.telemetry = False


def scene(name, words="Please."):
    return [{"role": "user", "content": f"{words} [[script:{name}]]"}]


def ask(base, messages, **options):
    return litellm.completion(model="openai/opus", api_base=base, api_key="interop-key", messages=messages, **options)


def streamed(chunks):
    """Text, thoughts and reason to end of a stream."""
    text, thoughts, finish = "", "", None
    for chunk in chunks:
        for choice in chunk.choices:
            text += choice.delta.content or ""
            thoughts += getattr(choice.delta, "reasoning_content", None) or ""
            finish = choice.finish_reason or finish
    return text, thoughts, finish


def router(first, second):
    """Two models, of which the second answers when the first does not."""
    deployment = lambda name, base: {"model_name": name, "litellm_params": {"model": "openai/opus", "api_base": base, "api_key": "interop-key"}}
    return litellm.Router(model_list=[deployment("opus", first), deployment("other", second)], fallbacks=[{"opus": ["other"]}])


@contextlib.contextmanager
def proxy(run, first, second):
    """LiteLLM's proxy with the same two models, as its users start it; a client of it."""
    deployment = lambda name, base: {"model_name": name, "litellm_params": {"model": "openai/opus", "api_base": base, "api_key": "any"}}
    config = {"model_list": [deployment("opus", first), deployment("other", second)], "router_settings": {"fallbacks": [{"opus": ["other"]}]}}
    file = run.home / "config.yaml"
    # What is JSON is YAML, too.
    file.write_text(json.dumps(config))
    port = free_port()
    program = pathlib.Path(sys.executable).with_name("litellm")
    command = [program, "--config", file, "--host", "127.0.0.1", "--port", str(port), "--telemetry", "False"]
    environment = {**os.environ, "HOME": str(run.home), "LITELLM_MASTER_KEY": PROXY_KEY}
    with open(run.home / "proxy.log", "w") as log:
        process = subprocess.Popen(command, cwd=run.home, env=environment, stdout=log, stderr=log)
    try:
        def answers():
            check(process.poll() is None, f"the proxy has ended; see {log.name}")
            try:
                return fetch(f"http://127.0.0.1:{port}/health/liveliness")
            except OSError:
                return None

        until(answers, "the proxy answers")
        yield openai.OpenAI(base_url=f"http://127.0.0.1:{port}", api_key=PROXY_KEY, max_retries=0)
    finally:
        process.terminate()
        process.wait()


@case("completion")
def completion(run):
    answer = ask(run.main.base, scene("greeting"))
    equal(answer.choices[0].message.content, "Good morning from the first gateway.", "the answer")
    equal(answer.choices[0].finish_reason, "stop", "how it ended")
    check(answer.usage.total_tokens > 0, f"usage: {answer.usage}")


@case("a stream, with what the model thinks")
def stream(run):
    text, thoughts, finish = streamed(ask(run.main.base, scene("thoughtful"), stream=True, stream_options={"include_usage": True}))
    equal((text, finish), ("A greeting, well thought out.", "stop"), "the answer")
    equal(thoughts, "Let me think about a greeting.", "the thoughts")


@case("a tool, and the conversation goes on in its container")
def tools(run):
    way = run.record(run.main)
    messages = scene("weather")
    for town in ("Bonn", "Ulm"):
        message = ask(way.base, messages, tools=[WEATHER]).choices[0].message
        [call] = message.tool_calls
        equal(json.loads(call.function.arguments), {"town": town}, "the arguments")
        messages += [message.model_dump(exclude_none=True), {"role": "tool", "tool_call_id": call.id, "content": f"fog over {town}"}]
    message = ask(way.base, messages, tools=[WEATHER]).choices[0].message
    equal(message.content, "The last answer was: fog over Ulm", "the answer")
    messages += [message.model_dump(exclude_none=True), *scene("second", "And once more.")]
    text, _, finish = streamed(ask(way.base, messages, tools=[WEATHER], stream=True))
    equal((text, finish), ("This is the second answer.", "stop"), "the next answer")
    equal(len({session_of(one) for one in way.exchanges}), 1, "sessions that answered")
    equal(len({one.process for one in run.seen()}), 1, "processes of the CLI that asked the model")
    saw = run.seen()[-1].text()
    for words in ("fog over Bonn", "And once more."):
        once(saw, words, "what the model saw at last")


@case("an answer in a form")
def form(run):
    answer = ask(run.main.base, scene("town"), response_format=Town)
    equal(Town.model_validate_json(answer.choices[0].message.content), BONN, "the answer")


@case("failures have the class of their kind")
def failures(run):
    for name, kind in (
        ("refused-key", litellm.AuthenticationError),
        ("wrong-request", litellm.BadRequestError),
        ("too-many", litellm.RateLimitError),
        ("away", litellm.ServiceUnavailableError),
        ("broken-service", litellm.ServiceUnavailableError),
    ):
        error = raised(lambda: ask(run.main.base, scene(name), max_retries=0))
        equal(type(error), kind, f"what {name} raises ({error})")
        run.main.well()


@case("the router falls back on 503 and on 429")
def fallback(run):
    for name, status in (("broken-service", 503), ("too-many", 429)):
        run.other.free()
        run.main.well()
        first, second = run.record(run.main), run.record(run.other)
        answer = router(first.base, second.base).completion(model="opus", messages=scene(name))
        equal(answer.choices[0].message.content, "The other gateway answers.", f"the answer after {status}")
        check({one["status"] for one in first.exchanges} == {status}, f"the first gateway said {[one['status'] for one in first.exchanges]}")
        equal([one["status"] for one in second.exchanges], [200], "what the second gateway said")


@case("the router falls back with a stream, too")
def streamed_fallback(run):
    run.other.free()
    run.main.well()
    first, second = run.record(run.main), run.record(run.other)
    text, _, finish = streamed(router(first.base, second.base).completion(model="opus", messages=scene("broken-service"), stream=True))
    equal((text, finish), ("The other gateway answers.", "stop"), "the answer")
    check(first.exchanges and all(one["status"] == 503 for one in first.exchanges), "the first gateway did not refuse")


@case("what breaks after the first words is no good end, and nothing is said twice")
def breaks(run):
    run.other.free()
    second = run.record(run.other)
    seen = []

    def read():
        for chunk in router(run.main.base, second.base).completion(model="opus", messages=scene("breaks"), stream=True):
            seen.extend(choice.delta.content or "" for choice in chunk.choices)

    raised(read)
    text = "".join(seen)
    check(text.startswith("These words"), f"the words before: {text!r}")
    equal(text.count("These words"), 1, "how often they were said")
    equal(second.exchanges, [], "what the second gateway was asked")


@case("through the proxy: tools, a stream, and the conversation goes on in its container")
def proxied(run):
    way = run.record(run.main)
    with proxy(run, way.base, run.other.base) as client:
        ask = lambda **options: client.chat.completions.create(model="opus", messages=messages, tools=[WEATHER], **options)
        messages = scene("weather")
        for town in ("Bonn", "Ulm"):
            message = ask().choices[0].message
            [call] = message.tool_calls
            equal(json.loads(call.function.arguments), {"town": town}, "the arguments")
            messages += [message.model_dump(exclude_none=True), {"role": "tool", "tool_call_id": call.id, "content": f"fog over {town}"}]
        message = ask().choices[0].message
        equal(message.content, "The last answer was: fog over Ulm", "the answer")
        messages += [message.model_dump(exclude_none=True), *scene("second", "And once more.")]
        text, _, finish = streamed(ask(stream=True))
        equal((text, finish), ("This is the second answer.", "stop"), "the next answer")
    equal(len({session_of(one) for one in asked(way)}), 1, "sessions that answered")
    equal(len({one.process for one in run.seen()}), 1, "processes of the CLI that asked the model")
    once(run.seen()[-1].text(), "fog over Bonn", "what the model saw at last")


@case("the proxy falls back on 503, with a stream, too")
def proxied_fallback(run):
    run.other.free()
    run.main.well()
    first, second = run.record(run.main), run.record(run.other)
    with proxy(run, first.base, second.base) as client:
        answer = client.chat.completions.create(model="opus", messages=scene("broken-service"))
        equal(answer.choices[0].message.content, "The other gateway answers.", "the answer")
        run.other.free()
        run.main.well()
        text, _, finish = streamed(client.chat.completions.create(model="opus", messages=scene("broken-service"), stream=True))
        equal((text, finish), ("The other gateway answers.", "stop"), "the answer in a stream")
    statuses = [one["status"] for one in asked(first)]
    check(set(statuses) == {503}, f"the first gateway said {statuses}")


def asked(way):
    """What was asked of the model; the proxy asks for the list of models besides."""
    return [one for one in way.exchanges if one["path"].endswith("/chat/completions")]


def raised(ask):
    """What is raised."""
    try:
        got = ask()
    except Exception as error:
        return error
    raise Failed(f"nothing is raised, but given: {got!r}")


main()
