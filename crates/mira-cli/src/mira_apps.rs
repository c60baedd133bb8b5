//! The program `mira-apps`: all commands of Mira. People start it as `mira`, which becomes it where it needs to.

#[cfg(not(target_os = "linux"))]
compile_error!("the commands of mira-apps are for Linux: build with --no-default-features");

fn main() -> std::process::ExitCode {
    mira_cli::apps_main()
}
