//! What people ask for by naming the bot in a comment. Pure; who may ask is decided elsewhere.

/// A command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Command {
    /// Review all of it, again.
    Review,
    /// Review the files that were left out for their number or size.
    Rest,
    Pause,
    Resume,
    Help,
    /// Resolve the thread that this is said in, and never say its finding again.
    Reject,
    Question(String),
}

/// The longest question, in characters.
// LIMIT: a question is a paragraph or two; what is longer is cut.
const QUESTION_CHARS_MAX: usize = 4_000;

/// Returns what `help` answers.
pub(super) fn help(bot: &str) -> String {
    format!(
        "Name me in a comment: `@{bot}` and one of these.\n\n\
         | say | and I |\n|---|---|\n\
         | `review` | review the whole change again |\n\
         | `review-rest` | review the files that were left out for their number or size |\n\
         | `pause`, `resume` | stop reviewing new commits, and go on |\n\
         | `reject` | on one of my threads: resolve it, and do not say it again |\n\
         | `help` | show this |\n\
         | anything else | answer it as a question on the change |\n\n\
         Who may write to the repository may say these; the author may ask questions and for help."
    )
}

/// Returns what a comment commands, if it names the bot. What is quoted or code commands nothing.
pub(super) fn read(body: &str, bot: &str) -> Option<Command> {
    if bot.is_empty() {
        return None;
    }
    let mut code = false;
    let mut said: Option<String> = None;
    for line in body.lines() {
        let trimmed = line.trim_start();
        if trimmed.starts_with("```") || trimmed.starts_with("~~~") {
            code = !code;
            continue;
        }
        if code || trimmed.starts_with('>') || line.starts_with("    ") {
            continue;
        }
        match &mut said {
            Some(said) => {
                said.push('\n');
                said.push_str(line);
            }
            None => said = after_mention(line, bot).map(str::to_owned),
        }
    }
    let said = said?;
    let said = said.trim_matches(|char: char| char.is_whitespace() || ",:".contains(char));
    let words = said.trim_end_matches(['.', '!']).to_lowercase();
    Some(match words.as_str() {
        "review" | "review this" | "review again" => Command::Review,
        "review-rest" | "review rest" | "rest" | "continue" => Command::Rest,
        "pause" => Command::Pause,
        "resume" => Command::Resume,
        "" | "help" | "?" | "commands" => Command::Help,
        "reject" | "dismiss" | "resolve" => Command::Reject,
        _ => Command::Question(said.chars().take(QUESTION_CHARS_MAX).collect()),
    })
}

/// Returns what follows the bot's name in a line, in any letter case.
fn after_mention<'a>(line: &'a str, bot: &str) -> Option<&'a str> {
    let part_of_name = |char: char| char.is_ascii_alphanumeric() || char == '-' || char == '_';
    for (at, _) in line.match_indices('@') {
        let before = line.get(..at)?;
        let after = line.get(at + 1..)?;
        let Some((name, rest)) = after.split_at_checked(bot.len()) else {
            continue;
        };
        let rest = rest.strip_prefix("[bot]").unwrap_or(rest);
        let alone = !before.ends_with(|char| part_of_name(char) || char == '`')
            && !rest.starts_with(|char| part_of_name(char) || char == '/' || char == '`');
        if alone && name.eq_ignore_ascii_case(bot) {
            return Some(rest);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(body: &str, expect: Option<Command>) {
        assert_eq!(read(body, "mira-test"), expect, "{body}");
    }

    #[test]
    fn commands_are_read_in_any_letter_case_and_from_nothing_that_is_quoted() {
        use Command::{Help, Pause, Question, Reject, Rest, Resume, Review};
        check("@mira-test review", Some(Review));
        check("Hi @Mira-Test: Review this!", Some(Review));
        check("@mira-test[bot] rest", Some(Rest));
        check("@mira-test Review-Rest", Some(Rest));
        check("@mira-test CONTINUE", Some(Rest));
        check("@mira-test PAUSE", Some(Pause));
        check("@mira-test resume", Some(Resume));
        check("@mira-test", Some(Help));
        check("@mira-test ?", Some(Help));
        check("@mira-test dismiss.", Some(Reject));
        check("@mira-test Resolve", Some(Reject));
        check(
            "@mira-test why\nis that?",
            Some(Question("why\nis that?".to_owned())),
        );
        check("> @mira-test review", None);
        check("```\n@mira-test review\n```", None);
        check("`@mira-test review`", None);
        check("    @mira-test review", None);
        check("@mira-tester review", None);
        check("x@mira-test review", None);
        check("mail@é @mira-test/team review", None);
        check("no mention", None);
        assert_eq!(read("@ review", ""), None);
    }
}
