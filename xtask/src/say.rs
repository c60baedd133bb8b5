//! Printing: results on stdout, everything else on stderr.

/// Prints a line of a task's result.
#[expect(clippy::print_stdout, reason = "a surface: printing is what it is for")]
pub(crate) fn line(text: &str) {
    println!("{text}");
}

/// Prints a line about what a task does.
#[expect(clippy::print_stderr, reason = "a surface: printing is what it is for")]
pub(crate) fn note(text: &str) {
    eprintln!("{text}");
}
