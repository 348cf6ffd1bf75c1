"""The official Python client."""

import json
import threading

import openai

from picture import DOT
from recorder import chunks_of
from stage import BONN, WEATHER, Failed, Town, case, check, equal, main, once, one_container, until

TIME = {"type": "function", "function": {"name": "get_time", "description": "The time", "parameters": {"type": "object", "properties": {}}}}


def client(base, **options):
    return openai.OpenAI(base_url=base, api_key="interop-key", **options)


def scene(name, words="Please."):
    return {"role": "user", "content": f"{words} [[script:{name}]]"}


def streamed(chunks):
    """Text, reason to end, and usage of a stream; as a careful program reads it."""
    text, finish, usage = "", None, None
    for chunk in chunks:
        usage = chunk.usage or usage
        for choice in chunk.choices:
            text += choice.delta.content or ""
            finish = choice.finish_reason or finish
    return text, finish, usage


@case("models are listed, and one is shown")
def models(run):
    ask = client(run.main.base)
    listed = {model.id: model for model in ask.models.list()}
    for name in ("opus", "sonnet", "haiku", "docker-claude-code/opus"):
        check(name in listed, f"{name} is not among {sorted(listed)}")
        equal(listed[name].object, "model", name)
        equal(ask.models.retrieve(name).id, name, "the model that is shown")


@case("a whole answer")
def whole(run):
    ask = client(run.main.base)
    answer = ask.chat.completions.create(model="opus", messages=[{"role": "system", "content": "Be brief."}, scene("greeting")])
    choice = answer.choices[0]
    equal(choice.message.content, "Good morning from the first gateway.", "the answer")
    equal(choice.message.role, "assistant", "its role")
    equal(choice.finish_reason, "stop", "how it ended")
    equal(answer.object, "chat.completion", "its kind")
    check(answer.model.startswith("docker-claude-code/"), f"it is of {answer.model}")
    check(answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens > 0, f"usage: {answer.usage}")
    [asked] = run.seen()
    once(asked.system(), "Be brief.", "the system prompt")
    once(asked.text(), "Please. [[script:greeting]]", "what the model saw")


@case("a streamed answer")
def stream(run):
    way = run.record(run.main)
    chunks = list(
        client(way.base).chat.completions.create(
            model="docker-claude-code/sonnet", messages=[scene("greeting")], stream=True, stream_options={"include_usage": True}
        )
    )
    text, finish, usage = streamed(chunks)
    equal((text, finish), ("Good morning from the first gateway.", "stop"), "the answer")
    check(usage and usage.total_tokens > 0, f"usage: {usage}")
    check(sum(bool(chunk.choices and chunk.choices[0].delta.content) for chunk in chunks) > 1, "it came in one piece")
    equal(len({chunk.id for chunk in chunks}), 1, "ids of the chunks")
    equal([chunk.choices[0].delta.role for chunk in chunks if chunk.choices and chunk.choices[0].delta.role], ["assistant"], "roles")
    check(way.exchanges[0]["answer"].rstrip().endswith("data: [DONE]"), "it does not end with [DONE]")
    told = list(client(run.main.base).chat.completions.create(model="opus", messages=[scene("greeting")], stream=True))
    equal([chunk.usage for chunk in told if chunk.usage], [], "usage that nobody asked for")


@case("the helper for streams")
def helper(run):
    with client(run.main.base).chat.completions.stream(
        model="opus", messages=[scene("thoughtful")], stream_options={"include_usage": True}
    ) as events:
        kinds = [event.type for event in events]
        final = events.get_final_completion()
    check("content.delta" in kinds and "content.done" in kinds, f"events: {sorted(set(kinds))}")
    message = final.choices[0].message
    equal((message.role, message.content), ("assistant", "A greeting, well thought out."), "the message")
    equal(final.choices[0].finish_reason, "stop", "how it ended")
    check(final.usage and final.usage.total_tokens > 0, f"usage: {final.usage}")


@case("a conversation goes on in its container without a name")
def affinity(run):
    way = run.record(run.main)
    ask = client(way.base)
    messages = [{"role": "system", "content": "Be brief."}, scene("greeting", "The first prompt.")]
    for words, name in (("The second prompt.", "second"), ("The third prompt.", "third")):
        answer = ask.chat.completions.create(model="opus", messages=messages)
        messages += [answer.choices[0].message.model_dump(exclude_none=True), scene(name, words)]
    text, _, _ = streamed(ask.chat.completions.create(model="opus", messages=messages, stream=True))
    equal(text, "This is the third answer.", "the last answer")
    one_container(run, way, 3)
    saw = run.seen()[-1].text()
    for words in ("The first prompt.", "Good morning from", "The second prompt.", "the second answer", "The third prompt."):
        once(saw, words, "what the model saw at last")


@case("two rounds of a tool, whole")
def tools_whole(run):
    way = run.record(run.main)
    ask = client(way.base)
    messages = [scene("weather")]
    told = []
    for town, weather in (("Bonn", "rain over Bonn"), ("Ulm", "sun over Ulm")):
        answer = ask.chat.completions.create(model="opus", messages=messages, tools=[WEATHER])
        choice = answer.choices[0]
        equal(choice.finish_reason, "tool_calls", "how it ended")
        [call] = choice.message.tool_calls
        equal((call.type, call.function.name, json.loads(call.function.arguments)), ("function", "get_weather", {"town": town}), "the call")
        check(call.id.isalnum() and len(call.id) <= 40, f"an id that clients rewrite: {call.id}")
        told.append(call.id)
        messages += [choice.message.model_dump(exclude_none=True), {"role": "tool", "tool_call_id": call.id, "content": weather}]
    equal(len(set(told)), 2, "ids of calls")
    answer = ask.chat.completions.create(model="opus", messages=messages, tools=[WEATHER])
    equal(answer.choices[0].message.content, "The last answer was: sun over Ulm", "the answer")
    one_container(run, way, 3)
    results = [block["content"] for block in run.seen()[-1].blocks("tool_result")]
    equal(len(results), 2, "results that the model saw")
    once(run.seen()[-1].text(), "rain over Bonn", "what the model saw at last")


@case("two calls at once, by the helper for streams")
def tools_streamed(run):
    way = run.record(run.main)
    ask = client(way.base)
    messages = [scene("two-towns")]
    with ask.chat.completions.stream(model="opus", messages=messages, tools=[WEATHER]) as events:
        final = events.get_final_completion()
    choice = final.choices[0]
    equal(choice.finish_reason, "tool_calls", "how it ended")
    towns = [json.loads(call.function.arguments)["town"] for call in choice.message.tool_calls]
    equal(towns, ["Bonn", "Ulm"], "the towns")
    message = {"role": "assistant", "content": choice.message.content, "tool_calls": [
        {"id": call.id, "type": "function", "function": {"name": call.function.name, "arguments": call.function.arguments}}
        for call in choice.message.tool_calls
    ]}
    # In another order than they were called.
    results = [{"role": "tool", "tool_call_id": call.id, "content": f"sun over {town}"} for call, town in zip(choice.message.tool_calls, towns)]
    with ask.chat.completions.stream(model="opus", messages=[*messages, message, *reversed(results)], tools=[WEATHER]) as events:
        final = events.get_final_completion()
    equal(final.choices[0].message.content, "Both towns have weather.", "the answer")
    one_container(run, way, 2)
    saw = run.seen()[-1]
    for town in towns:
        once(saw.text(), f"sun over {town}", "what the model saw")


@case("an answer in a form, twice in one container, and streamed")
def forms(run):
    way = run.record(run.main)
    ask, messages = client(way.base), [scene("town")]
    answer = ask.chat.completions.parse(model="opus", messages=messages, response_format=Town)
    message = answer.choices[0].message
    equal(message.parsed, BONN, "the answer")
    messages += [{"role": "assistant", "content": message.content}, scene("town", "And once more.")]
    with ask.chat.completions.stream(model="opus", messages=messages, response_format=Town) as events:
        final = events.get_final_completion()
    equal(final.choices[0].message.parsed, BONN, "the second answer")
    one_container(run, way, 2)


@case("a call without arguments has an empty object")
def no_arguments(run):
    answer = client(run.main.base).chat.completions.create(model="opus", messages=[scene("no-arguments")], tools=[TIME])
    [call] = answer.choices[0].message.tool_calls
    equal(call.function.arguments, "{}", "the arguments")


@case("a picture arrives")
def picture(run):
    content = [{"type": "text", "text": "What is this? [[script:greeting]]"}, {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{DOT}"}}]
    answer = client(run.main.base).chat.completions.create(model="opus", messages=[{"role": "user", "content": content}])
    equal(answer.choices[0].finish_reason, "stop", "how it ended")
    [asked] = run.seen()
    [image] = asked.blocks("image")
    equal((image["source"]["media_type"], image["source"]["data"]), ("image/png", DOT), "the picture that the model saw")


@case("failures have the class of their kind")
def failures(run):
    ask = client(run.main.base, max_retries=0)
    for name, kind, status, code in (
        ("refused-key", openai.AuthenticationError, 401, "auth"),
        ("wrong-request", openai.BadRequestError, 400, "invalid_request"),
        ("too-many", openai.RateLimitError, 429, "rate_limited"),
        ("away", openai.InternalServerError, 503, "overloaded"),
        ("broken-service", openai.InternalServerError, 503, "unavailable"),
    ):
        for streaming in (False, True):
            error = raised(lambda: ask.chat.completions.create(model="opus", messages=[scene(name)], stream=streaming))
            equal(type(error), kind, f"what {name} raises")
            equal((error.status_code, error.code, error.param), (status, code, None), name)
            check(error.request_id, f"{name} has no request id")
            check(("retry-after" in error.response.headers) == (status in (429, 503)), f"{name}: {error.response.headers}")
        run.main.well()
    equal(type(raised(lambda: ask.chat.completions.create(model="nobody/opus", messages=[scene("greeting")]))), openai.NotFoundError, "a provider that there is not")
    equal(type(raised(lambda: ask.chat.completions.create(model="opus", messages=[]))), openai.BadRequestError, "no messages")


@case("a pool that is full")
def exhausted(run):
    run.other.free()
    session = run.other.claim()
    try:
        error = raised(lambda: client(run.other.base, max_retries=0).chat.completions.create(model="opus", messages=[scene("greeting")]))
        equal(type(error), openai.InternalServerError, "what it raises")
        equal((error.status_code, error.code), (503, "exhausted"), "what it says")
        check(int(error.response.headers["retry-after"]) > 0, "it says not when to come back")
    finally:
        run.other.end(session)


@case("what breaks after the first words raises")
def breaks(run):
    seen = []

    def read():
        for chunk in client(run.main.base).chat.completions.create(model="opus", messages=[scene("breaks")], stream=True):
            seen.extend(choice.delta.content or "" for choice in chunk.choices)
            equal([choice.finish_reason for choice in chunk.choices if choice.finish_reason], [], "a good end")

    error = raised(read)
    check(isinstance(error, openai.APIError), f"it raises {type(error).__name__}: {error}")
    check("".join(seen).startswith("These words"), f"the words before: {seen}")
    equal(error.code, "overloaded", "its code")
    run.main.well()


@case("what falls silent after the first words raises")
def stalls(run):
    run.other.free()
    seen = []

    def read():
        for chunk in client(run.other.base).chat.completions.create(model="opus", messages=[scene("silent")], stream=True):
            seen.extend(choice.delta.content or "" for choice in chunk.choices)

    error = raised(read)
    check("".join(seen).startswith("These words"), f"the words before: {seen}")
    equal(getattr(error, "code", None), "stalled", f"the code of {type(error).__name__}: {error}")


@case("a long silence is bridged by chunks that say nothing")
def keep_alive(run):
    run.other.free()
    way = run.record(run.other)
    with client(way.base).chat.completions.stream(model="opus", messages=[scene("late")]) as events:
        final = events.get_final_completion()
    equal((final.choices[0].message.role, final.choices[0].message.content), ("assistant", "Sorry for the wait."), "the message")
    chunks = chunks_of(way.exchanges[0]["answer"])
    words = [index for index, chunk in enumerate(chunks) if chunk["choices"][0]["delta"].get("content")]
    quiet = [chunk for chunk in chunks[: words[0]] if not chunk["choices"][0]["delta"]]
    check(quiet, f"before the first words came only {chunks[: words[0]]}")


@case("who disconnects interrupts the turn")
def disconnect(run):
    ask = client(run.main.base)
    chunks = ask.chat.completions.create(model="opus", messages=[scene("endless")], stream=True)
    for chunk in chunks:
        if chunk.choices and "two" in (chunk.choices[0].delta.content or ""):
            break
    chunks.close()
    gone = lambda: any(one.outcome == "clientGone" for one in run.seen())
    until(gone, "the CLI stops asking the model")


@case("four answers at once are nobody else's")
def many(run):
    said, failed = {}, []
    ask = client(run.main.base)

    def one(number):
        words = f"My number is {number}."
        try:
            said[number] = streamed(ask.chat.completions.create(model="opus", messages=[{"role": "user", "content": words}], stream=True))[0]
        except openai.APIError as error:
            failed.append(error)

    threads = [threading.Thread(target=one, args=(number,)) for number in range(1001, 1005)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    equal(failed, [], "failures")
    for number, text in said.items():
        check(str(number) in text, f"{number} was told: {text}")


def raised(ask):
    """What the client raises."""
    try:
        got = ask()
        if not isinstance(got, openai.types.chat.ChatCompletion) and got is not None:
            got = streamed(got)
    except openai.OpenAIError as error:
        return error
    raise Failed(f"nothing is raised, but given: {got!r}")


main()
