"""From a text to minutes: parts, whole and unfinished answers, and answers that are none."""

import json
import unittest

import draft
from model import ModelError

WHOLE = {
    "title": "Release",
    "summary": "It moves.",
    "topics": [{"heading": "Date", "points": ["Friday \"is\" better", "ä\\n"]}],
    "decisions": ["Friday"],
    "actions": [{"what": "Tell customers", "who": "Ben", "due": "Thursday"}],
    "questions": [],
}


class Scripted:
    """A model that gives these answers."""

    def __init__(self, *answers):
        self.answers, self.asked = list(answers), []

    def ask(self, messages, schema, name, on_text, on_wait, stopped):
        self.asked.append([dict(message) for message in messages])
        answer = self.answers.pop(0)
        for end in range(0, len(answer), 10):
            on_text(answer[:end])
        return answer


class TestDraft(unittest.TestCase):
    def write(self, model, text="Anna: Friday?", part_chars=1000):
        self.stages, self.drafts = [], []
        return draft.write(model, text, "small", part_chars, self.stages.append, self.drafts.append, lambda: False)

    def test_the_schema_is_strict(self):
        def check(schema):
            if schema.get("type") == "object":
                self.assertEqual(schema["required"], list(schema["properties"]))
                self.assertIs(schema["additionalProperties"], False)
            for each in [*schema.get("properties", {}).values(), *filter(None, [schema.get("items")])]:
                check(each)

        check(draft.SCHEMA)

    def test_minutes_are_written_and_shown_on_the_way(self):
        self.assertEqual(self.write(Scripted(json.dumps(WHOLE))), WHOLE)
        self.assertEqual(self.drafts[0]["title"], "Release")
        self.assertIn("Friday", str(self.drafts[-1]))

    def test_an_answer_with_words_around_it_is_read(self):
        for answer in (f"```json\n{json.dumps(WHOLE)}\n```", f"Here you are: {json.dumps(WHOLE, indent=1)} Bye."):
            self.assertEqual(draft.minutes_of(answer), WHOLE)

    def test_an_answer_of_another_form_is_made_to_fit(self):
        minutes = draft.minutes_of(json.dumps({"title": None, "actions": ["Call", {"what": 7, "x": 1}, []], "decisions": "One",
                                               "topics": [{"heading": "T"}, {}, 3], "questions": [" a \n b ", True]}))
        self.assertEqual([action["what"] for action in minutes["actions"]], ["Call", "7"])
        self.assertEqual((minutes["decisions"], minutes["questions"]), (["One"], ["a b"]))
        self.assertEqual(minutes["topics"], [{"heading": "T", "points": []}])

    def test_an_answer_that_is_none_is_asked_for_once_more(self):
        model = Scripted("Sorry?", json.dumps(WHOLE))
        self.assertEqual(self.write(model), WHOLE)
        self.assertEqual(model.asked[1][2]["content"], "Sorry?")
        with self.assertRaises(ModelError):
            self.write(Scripted("Sorry?", '{"title": "only"}'))
        for answer in ("", "{", "[]", "[" * 100_000, '{"a":' * 100_000, "}{"):
            self.assertIsNone(draft.minutes_of(answer))

    def test_every_beginning_of_an_answer_can_be_shown(self):
        for answer in (json.dumps(WHOLE), json.dumps(WHOLE, indent=2, ensure_ascii=False)):
            before = 0
            for end in range(1, len(answer) + 1):
                minutes = draft.unfinished(answer[:end])
                self.assertIsNotNone(minutes, answer[:end])
                # What was shown does not vanish again.
                now = len(json.dumps(minutes, ensure_ascii=False))
                self.assertGreaterEqual(now + 4, before, answer[:end])
                before = now
            self.assertEqual(minutes, WHOLE)

    def test_a_long_text_is_worked_on_in_parts(self):
        text = "\n\n".join(f"{number}: {'word ' * 60}" for number in range(10))
        parts = draft.parts_of(text, 1000)
        self.assertTrue(all(len(part) <= 1000 for part in parts))
        self.assertTrue(all(part[0].isdigit() for part in parts), "it is cut between paragraphs")
        self.assertEqual("".join(text.split()), "".join("".join(parts).split()))
        self.assertEqual([len(part) for part in draft.parts_of("x" * 2500, 1000)], [1000, 1000, 500])
        model = Scripted(*[json.dumps(WHOLE)] * (len(parts) + 1))
        self.assertEqual(self.write(model, text), WHOLE)
        self.assertIn(draft.MERGE, model.asked[-1][0]["content"])
        self.assertIn("Putting the parts together", self.stages)
