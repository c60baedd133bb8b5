//! `mira` at a real terminal: hidden prompts, questions, and programs that need one.
