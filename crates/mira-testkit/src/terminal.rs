//! A program driven through a real terminal.
