//! `mira provider`: model providers, where they are, which key is theirs, and whether it works.

mod list;
mod set;
mod test;

use std::process::ExitCode;

use mira_vault::settings::{ModelName, ProviderName, WordError};

use crate::error::CommandError;
use crate::ui::Ui;

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Known are openai, anthropic, openrouter, ollama and bedrock. Any other name is a provider whose API is like OpenAI's:\n  \
                  mira provider set groq --base-url https://api.groq.com/openai/v1 --key GROQ_API_KEY"
)]
pub(crate) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// List the providers: where they are, and whether their key is saved; never a key
    List(list::Args),
    /// Set where a provider is, which secret is its key, and which model is used
    Set(set::Args),
    /// Try the key of a provider, or of all that have one; exits with 1 if one does not work
    Test(test::Args),
}

pub(crate) fn run(args: &Args, ui: &Ui) -> Result<ExitCode, CommandError> {
    match &args.action {
        Action::List(args) => list::run(args, ui),
        Action::Set(args) => set::run(args, ui),
        Action::Test(args) => return test::run(args, ui),
    }
    .map(|()| ExitCode::SUCCESS)
}

/// Parses a provider's name for clap.
fn parse_provider(text: &str) -> Result<ProviderName, String> {
    text.parse().map_err(|error: WordError| error.to_string())
}

/// Parses a model's name for clap.
pub(crate) fn parse_model(text: &str) -> Result<ModelName, String> {
    text.parse().map_err(|error: WordError| error.to_string())
}
