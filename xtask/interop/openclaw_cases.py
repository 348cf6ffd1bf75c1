"""OpenClaw, a chat-bot that has tools of its own."""

import base64

from picture import DOT
from openclaw import OpenClaw
from recorder import chunks_of, session_of
from stage import case, check, equal, main, once, one_container

NOTE = "The blue heron stands in the water."

#: Words around what it adds to the newest message alone.
ASIDE = "<<<BEGIN_OPENCLAW_INTERNAL_CONTEXT>>>"

#: All its tools, each a function of the request.
ALL_TOOLS = {"tools": {"toolSearch": False}}


def finish(exchange):
    """How an answer ended, as OpenClaw was told."""
    told = [choice.get("finish_reason") for chunk in chunks_of(exchange["answer"]) for choice in chunk.get("choices", [])]
    return [reason for reason in told if reason]


def one_request_each(run, way, requests):
    """As in `one_container`, and the model was asked once for each request."""
    one_container(run, way, requests)
    equal(len(run.seen()), requests, "requests that the model has seen")


def two_turns(run, named):
    way = run.record(run.main)
    bot = OpenClaw(run, [way.base], named=named)
    (bot.workspace / "note.txt").write_text(f"{NOTE}\n")
    text, told = bot.say("Please read the note. [[script:note]]")
    equal(told["provider"], "ccpool1", "who answered")
    check(f"The note says: {NOTE}" in text, f"the answer: {text!r}")
    equal([finish(one) for one in way.exchanges], [["tool_calls"], ["stop"]], "how its answers ended")
    [session] = {session_of(one) for one in way.exchanges}
    container = run.main.container(session)
    if named:
        equal(way.exchanges[0]["body"]["prompt_cache_key"], "t1:0", "the conversation's name")

    text, _ = bot.say("And now something else. [[script:second]]")
    check("This is the second answer." in text, f"the second answer: {text!r}")
    one_request_each(run, way, 3)
    equal(run.main.container(session), container, "the container of the second turn")
    after_tool, last = run.seen()[1:]
    equal(after_tool.text().count(ASIDE), 1, "asides beside the tool's result")
    [result] = after_tool.blocks("tool_result")
    check(NOTE in str(result["content"]), f"the tool's result: {result}")
    saw = last.text()
    for words in ("Please read the note.", "Let me look.", f"The note says: {NOTE}", "And now something else."):
        once(saw, words, "what the model saw at last")
    equal(len(last.blocks("tool_result")), 1, "results of tools that the model saw at last")
    check(saw.count(ASIDE) <= 2, f"asides have piled up: {saw.count(ASIDE)} in two turns")


@case("a tool of its own, and the next turn in the same container")
def named(run):
    two_turns(run, named=True)


@case("the same without a name for the conversation")
def unnamed(run):
    two_turns(run, named=False)


@case("two calls in one answer")
def two_calls(run):
    way = run.record(run.main)
    bot = OpenClaw(run, [way.base])
    (bot.workspace / "note.txt").write_text(f"{NOTE}\n")
    text, _ = bot.say("Look around. [[script:two-at-once]]")
    check("Both tools have answered." in text, f"the answer: {text!r}")
    one_request_each(run, way, 2)
    calls = [call["function"]["name"] for chunk in chunks_of(way.exchanges[0]["answer"]) for choice in chunk["choices"] for call in choice["delta"].get("tool_calls", [])]
    equal(calls, ["read", "ls"], "the calls that it was told")
    results = run.seen()[-1].blocks("tool_result")
    equal(len(results), 2, "results that the model saw")
    check(NOTE in str(results[0]["content"]) and "note.txt" in str(results[1]["content"]), f"results: {results}")


@case("a tool that fails")
def failing_tool(run):
    way = run.record(run.main)
    bot = OpenClaw(run, [way.base])
    text, _ = bot.say("Look. [[script:missing-file]]")
    check("The tool has failed:" in text and "missing.txt" in text, f"the answer: {text!r}")
    one_request_each(run, way, 2)


@case("a tool that shows a picture")
def picture(run):
    way = run.record(run.main)
    bot = OpenClaw(run, [way.base])
    (bot.workspace / "dot.png").write_bytes(base64.b64decode(DOT))
    text, _ = bot.say("Look at the dot. [[script:picture]]")
    check("It is a dot." in text, f"the answer: {text!r}")
    one_request_each(run, way, 2)
    equal(len(run.seen()[-1].blocks("image")), 1, "pictures that the model saw")
    text, _ = bot.say("And now something else. [[script:second]]")
    check("This is the second answer." in text, f"the second answer: {text!r}")
    one_request_each(run, way, 3)


@case("all its tools at once, as functions")
def all_tools(run):
    way = run.record(run.main)
    bot = OpenClaw(run, [way.base], more=ALL_TOOLS)
    text, _ = bot.say("What is your status? [[script:status]]")
    check("The status has been read." in text, f"the answer: {text!r}")
    one_request_each(run, way, 2)
    count = len(way.exchanges[0]["body"]["tools"])
    check(count >= 50, f"it offered {count} functions only")
    offered = run.seen()[0].record["toolNames"]
    check("mcp__client__exec" in offered, f"the model was not offered it: {offered}")
    twice = {"Bash", "Read", "Write", "Edit"}.intersection(offered)
    check(not twice, f"the CLI has tools that the configuration takes away: {twice}")


@case("few tools, and nothing added to the newest message")
def few_tools(run):
    way = run.record(run.main)
    more = {"tools": {"toolSearch": False, "allow": ["read", "ls", "session_status"]}}
    bot = OpenClaw(run, [way.base], named=False, more=more)
    (bot.workspace / "note.txt").write_text(f"{NOTE}\n")
    bot.say("Please read the note. [[script:note]]")
    bot.say("And now something else. [[script:second]]")
    one_request_each(run, way, 3)
    equal(run.seen()[-1].text().count(ASIDE), 0, "asides")


@case("a system prompt that changes between turns, in a conversation with a name")
def changed_system(run):
    way = run.record(run.main)
    bot = OpenClaw(run, [way.base])
    text, _ = bot.say("Remember verse. [[script:remember]]")
    check("It is written down." in text, f"the answer: {text!r}")
    text, _ = bot.say("And now something else. [[script:second]]")
    check("This is the second answer." in text, f"the second answer: {text!r}")
    systems = [one["body"]["messages"][0]["content"] for one in way.exchanges]
    check("marigold" not in systems[0] and "marigold" in systems[-1], "its system prompt has not changed")
    one_request_each(run, way, 3)


@case("through its own gateway: a tool, and the next turn in the same container")
def daemon(run):
    way = run.record(run.main)
    bot = OpenClaw(run, [way.base])
    (bot.workspace / "note.txt").write_text(f"{NOTE}\n")
    with bot.gateway():
        text, _ = bot.say("Please read the note. [[script:note]]")
        check("The note says:" in text and NOTE in text, f"the first answer: {text!r}")
        text, _ = bot.say("And now something else. [[script:second]]")
        check("This is the second answer." in text, f"the second answer: {text!r}")
    one_request_each(run, way, 3)


@case("its own fallback answers when ours says 503")
def fallback(run):
    run.other.free()
    run.main.well()
    first, second = run.record(run.main), run.record(run.other)
    bot = OpenClaw(run, [first.base, second.base])
    text, told = bot.say("Say hello. [[script:broken-service]]")
    check("The other gateway answers." in text, f"the answer: {text!r}")
    equal(told["provider"], "ccpool2", "who answered")
    equal({one["status"] for one in first.exchanges}, {503}, "what the first gateway said")
    equal([one["status"] for one in second.exchanges], [200], "what the second gateway said")


main()
