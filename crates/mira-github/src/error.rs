//! What goes wrong with GitHub, in words that say what to do.

/// Why GitHub did not do what was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum GitHubError {
    /// The key is none.
    #[error("the App's private key cannot be used: {why}")]
    Key {
        /// What is wrong with it.
        #[source]
        why: mira_jwt::KeyError,
    },
    /// No connection, or one that broke off.
    #[error(
        "{at} cannot be reached: {why}; look at the network, and at the API's address in `mira github setup --api-url`"
    )]
    Unreachable {
        /// Host and port.
        at: String,
        /// What the connection said.
        why: String,
    },
    /// It took too long.
    #[error("{at} did not answer within {seconds} seconds; try again")]
    Timeout {
        /// Host and port.
        at: String,
        /// How long it had.
        seconds: u64,
    },
    /// It wants the request elsewhere; nothing is sent there.
    #[error(
        "{at} sends elsewhere; nothing with a key goes to another host: if the API has moved, set its address by `mira github setup --api-url`"
    )]
    Redirected {
        /// Host and port.
        at: String,
    },
    /// It is something else than GitHub's API.
    #[error(
        "what is at {at} does not answer as GitHub's API does (status {status}); for Enterprise the address ends in /api/v3"
    )]
    NotThisApi {
        /// Host and port.
        at: String,
        /// The status.
        status: u16,
    },
    /// The signature is not by a key of the App.
    #[error(
        "GitHub does not accept the signature: MIRA_GITHUB_PRIVATE_KEY is not a key of App {app}, or was deleted there; make one in the App's settings and save it by `mira github setup`"
    )]
    WrongKey {
        /// The App.
        app: u64,
    },
    /// There is no such App.
    #[error(
        "GitHub knows no App {app}: its number is in the App's settings, as App ID; set it by `mira github setup --app-id`"
    )]
    UnknownApp {
        /// The App.
        app: u64,
    },
    /// The clocks differ.
    #[error("this machine's clock is {} seconds {} GitHub's, so nothing that it signs is valid; set the clock", .ahead_s.unsigned_abs(), if *.ahead_s < 0 { "behind" } else { "ahead of" })]
    Clock {
        /// By how much this machine's is ahead.
        ahead_s: i64,
    },
    /// There is no such installation.
    #[error("the App has no installation {installation}: it was removed, or is another App's")]
    NotInstalled {
        /// The installation.
        installation: u64,
    },
    /// The installation is suspended.
    #[error(
        "installation {installation} is suspended; its owner lets it go on in the settings of the account"
    )]
    Suspended {
        /// The installation.
        installation: u64,
    },
    /// The installation does not grant what the app wants.
    #[error(
        "installation {installation} does not grant {wanted}; set these permissions in the App's settings, and have the owner accept them"
    )]
    NotGranted {
        /// The installation.
        installation: u64,
        /// The permissions, such as `contents: read`.
        wanted: String,
    },
    /// The installation is not for the repository.
    #[error(
        "installation {installation} is not for the repository {repository}; its owner selects it in the settings of the installation"
    )]
    NotForRepository {
        /// The installation.
        installation: u64,
        /// The repository.
        repository: String,
    },
    /// Too much was asked.
    #[error("GitHub wants fewer requests: it answers again in {retry_after_s} seconds")]
    RateLimited {
        /// When to try again.
        retry_after_s: u64,
    },
    /// The installation was taken away while its token was asked for.
    #[error("installation {installation} was taken away in this moment")]
    Forgotten {
        /// The installation.
        installation: u64,
    },
    /// What was minted ends at once.
    #[error(
        "the token that GitHub gave ends before it can be used; look at the clocks of both sides"
    )]
    TooShort,
    /// It said something else.
    #[error("GitHub answers with status {status}: {said}")]
    Other {
        /// The status.
        status: u16,
        /// What it said: one line, of bounded length, with nothing of a key in it.
        said: String,
    },
    /// Nothing can be called from here.
    #[error("connections cannot be prepared: {why}")]
    Unusable {
        /// Why.
        why: String,
    },
}
