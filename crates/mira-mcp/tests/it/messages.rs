//! Redacted messages are messages still.

use std::sync::Arc;
use std::time::Instant;

use mira_redact::{Messages, NeedleSet};
use proptest::prelude::*;
use serde_json::{Value, json};

fn set(values: &[&str]) -> Arc<NeedleSet> {
    let mut builder = NeedleSet::builder();
    builder.dangerous_seed(7);
    for value in values {
        builder.add("KEY", value.as_bytes());
    }
    Arc::new(builder.build())
}

fn redact(set: &Arc<NeedleSet>, text: &str) -> String {
    let mut messages = Messages::new(Arc::clone(set));
    let mut out = messages.push(text.as_bytes(), Instant::now()).to_vec();
    out.extend_from_slice(messages.finish());
    String::from_utf8(out).unwrap()
}

#[test]
fn a_marker_is_put_where_json_can_have_one() {
    let check = |value: &str, text: &str, expect: &str| {
        let told = redact(&set(&[value]), text);
        assert_eq!(told, expect, "{value:?}");
        serde_json::from_str::<Value>(&told).unwrap();
    };
    let key = "sk-proj-7Fq2mXv9";
    check(
        key,
        r#"{"a":"x sk-proj-7Fq2mXv9 y"}"#,
        r#"{"a":"x [redacted:KEY] y"}"#,
    );
    check(
        key,
        r#"{"sk-proj-7Fq2mXv9":[1]}"#,
        r#"{"[redacted:KEY]":[1]}"#,
    );
    // A text that holds a JSON text.
    check(
        key,
        r#"{"a":"{\"k\":\"sk-proj-7Fq2mXv9\"}"}"#,
        r#"{"a":"{\"k\":\"[redacted:KEY]\"}"}"#,
    );
    // The value begins within an escape, as far as its letters go.
    check(
        "n7Fq2mXv9LrT",
        r#"["a\n7Fq2mXv9LrT"]"#,
        r#"["a[redacted:KEY]"]"#,
    );
    check(
        "00e97Fq2mXv9LrT",
        r#"["a\u00e97Fq2mXv9LrT!"]"#,
        r#"["a[redacted:KEY]!"]"#,
    );
    check(
        "de007Fq2mXv9LrT",
        r#"["a\ud83d\ude007Fq2mXv9LrT!"]"#,
        r#"["a[redacted:KEY]!"]"#,
    );
    // Numbers and words.
    check(
        "4929123412341234",
        r#"{"card":4929123412341234,"n":1}"#,
        r#"{"card":"[redacted:KEY]","n":1}"#,
    );
    check("true", r#"{"a": true}"#, r#"{"a": "[redacted:KEY]"}"#);
    // A value that reaches over several strings of the message.
    check(
        r#"{"type":"service","private_key":"abc"}"#,
        r#"{"result":{"type":"service","private_key":"abc"},"id":1}"#,
        r#"{"result":{"[redacted:KEY]":"[redacted:KEY]","[redacted:KEY]":"[redacted:KEY]"},"id":1}"#,
    );
    // With what JSON escapes, and of several lines.
    check(
        "pass\"word\\7Fq2",
        r#"{"a":"<pass\"word\\7Fq2>"}"#,
        r#"{"a":"<[redacted:KEY]>"}"#,
    );
    check(
        "first line 7Fq2\nsecond line mXv9",
        r#"["first line 7Fq2\nsecond line mXv9"]"#,
        r#"["[redacted:KEY]"]"#,
    );
}

#[test]
fn what_is_no_message_is_redacted_as_any_text() {
    let set = set(&["sk-proj-7Fq2mXv9"]);
    let check = |text: &str, expect: &str| assert_eq!(redact(&set, text), expect);
    check(
        "starting with sk-proj-7Fq2mXv9\n",
        "starting with [redacted:KEY]\n",
    );
    check(
        "[info] key=sk-proj-7Fq2mXv9\r\n",
        "[info] key=[redacted:KEY]\r\n",
    );
    check("{'a': 'sk-proj-7Fq2mXv9'}\n", "{'a': '[redacted:KEY]'}\n");
    check("{\"a\":\"sk-proj-7Fq2mXv9", "{\"a\":\"[redacted:KEY]");
    check("sk-proj-7F", "sk-proj-7F");
}

#[test]
fn a_line_passes_at_its_newline_and_text_before_it_goes_first() {
    let set = set(&["sk-proj-7Fq2mXv9", "{\"a\":1}\nsk-proj-7Fq2"]);
    let now = Instant::now();
    let mut messages = Messages::new(set);
    let mut push =
        |text: &str| String::from_utf8(messages.push(text.as_bytes(), now).to_vec()).unwrap();
    assert_eq!(push("{\"a\""), "");
    // What is held back of another line may wait, a message may not: nor for what may follow its newline.
    assert_eq!(push(":1}\nsk-proj-7F"), "{\"a\":1}\n");
    assert_eq!(push("\n"), "sk-proj-7F\n");
    assert_eq!(push("sk-proj-7F"), "");
    assert!(messages.deadline().is_some());
    let deadline = messages.deadline().unwrap();
    assert_eq!(messages.expire(deadline), b"sk-proj-7F");
    assert_eq!(messages.finish(), b"");
    assert_eq!(messages.counts().redactions, 0);
}

/// Values of all shapes, among them such as stand in the texts below by chance.
fn values() -> impl Strategy<Value = Vec<String>> {
    let value = prop_oneof![
        "[a-c0-9nu\\\\\"]{4,12}",
        "\\PC{4,20}",
        "[ \\n\"a:,{}\\[\\]1]{4,10}",
        "[0-9]{4,6}"
    ];
    prop::collection::vec(value, 1..4)
}

fn messages() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i32>().prop_map(Value::from),
        "[a-c0-9nu\\\\\"\\n]{0,20}".prop_map(Value::from),
        "\\PC{0,20}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 32, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::vec(("[a-c\"\\n]{0,6}", inner), 0..5)
                .prop_map(|pairs| pairs.into_iter().collect::<serde_json::Map<_, _>>().into()),
        ]
    })
}

/// Spells a JSON text with as many escapes as it can have.
fn escaped(text: &str) -> String {
    let spell = |c: char| match c {
        c if c.is_ascii() => c.to_string(),
        c => {
            let mut units = [0; 2];
            c.encode_utf16(&mut units)
                .iter()
                .map(|unit| format!("\\u{unit:04x}"))
                .collect()
        }
    };
    text.chars().map(spell).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn every_message_stays_one_and_those_without_a_value_stay_as_they_were(
        mut values in values(),
        message in messages(),
        place in any::<prop::sample::Index>(),
        is_escaped in any::<bool>(),
        cuts in prop::collection::vec(1usize..40, 1..6),
    ) {
        // One value stands in the message for certain.
        let value = values.swap_remove(place.index(values.len()));
        let message = json!({"id": 1, "result": [message, {"text": format!("<{value}>")}]});
        let mut text = message.to_string();
        if is_escaped {
            text = escaped(&text);
        }
        values.push(value);
        let known: Vec<_> = values.iter().map(String::as_str).collect();
        let set = set(&known);
        let line = format!("{text}\n{{\"id\":2}}\n");

        let mut stream = Messages::new(Arc::clone(&set));
        let mut out = Vec::new();
        let mut rest = line.as_bytes();
        for cut in cuts.iter().cycle() {
            let (now, after) = rest.split_at((*cut).min(rest.len()));
            out.extend_from_slice(stream.push(now, Instant::now()));
            rest = after;
            if rest.is_empty() {
                break;
            }
        }
        // Everything is there at the last newline: nothing is held back.
        prop_assert_eq!(&out, &redact(&set, &line).into_bytes());
        let told = String::from_utf8(out).unwrap();
        let lines: Vec<_> = told.lines().collect();
        prop_assert_eq!(lines.len(), 2);
        for line in &lines {
            prop_assert!(serde_json::from_str::<Value>(line).is_ok(), "{:?}: {}", values, line);
        }
        if set.find(text.as_bytes()).is_empty() {
            prop_assert_eq!(lines[0], text);
        }
    }

    #[test]
    fn no_value_is_left_in_a_message(
        // As every real one, it has some letters and digits in a row: the redactor looks for those first.
        value in "[A-Za-z0-9]{8}[A-Za-z0-9/+_\"\\\\ é-]{0,24}",
        before in "[a-z\\n\\\\\"\u{1f600}]{0,4}",
        is_escaped in any::<bool>(),
    ) {
        prop_assume!(value.trim().len() >= 8);
        let text = json!({"a": format!("{before}{value}"), "b": [value]}).to_string();
        let text = if is_escaped { escaped(&text) } else { text };
        let told: Value = serde_json::from_str(&redact(&set(&[&value]), &text)).unwrap();
        for text in [&told["a"], &told["b"][0]] {
            prop_assert!(!text.as_str().unwrap().contains(value.trim()), "{}", told);
        }
    }
}
