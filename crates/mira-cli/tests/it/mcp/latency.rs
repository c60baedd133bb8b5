//! Nothing is held back: an answer is there although its server says nothing after it, whatever it ends in.

use super::client::{Client, add, set_in};
use crate::support::{VALUE, keyfile_home};

#[test]
fn an_answer_comes_at_its_newline_also_where_it_ends_as_a_value_begins() {
    let home = keyfile_home();
    // Of several lines: what ends in the first could go on after the newline.
    set_in(
        &home,
        "mcp/cat",
        "KEY",
        &format!("{VALUE}\n\"second line of it\"\n"),
    );
    add(&home, &["cat", "--env", "KEY", "--", "cat"]);
    let mut client = Client::spawn(&home, crate::support::MIRA, &["mcp", "run", "cat"]);
    let begin = VALUE.split_at(12).0;
    for line in [
        format!("[\"{begin}\"]"),
        format!("{{\"a\": \"{begin}"),
        "{}".to_owned(),
    ] {
        client.send(&line);
        assert_eq!(client.line(), format!("{line}\n"));
    }
    let (code, told) = client.close();
    assert_eq!((code, told.as_str()), (Some(0), ""));
}
