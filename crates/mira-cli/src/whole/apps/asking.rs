//! Asking whoever started an instance in the foreground about hosts that it calls and no rule names.
//!
//! INVARIANT: what a program chose is shown in visible ASCII alone. What was typed before a question was shown does not answer it.

use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::io;
use std::time::{Duration, Instant};

use mira_gate::Question;
use mira_package::manifest::{Host, HostPattern, Hosts, Manifest};
use mira_server::Event;
use mira_store::Instance;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::getpgrp;
use rustix::termios::{QueueSelector, tcflush, tcgetpgrp};
use tokio::sync::oneshot;

use super::Apps;
use crate::error::CommandError;
use crate::ui::Ui;

// LIMIT: an answer is a letter; a line that is longer is none.
const ANSWER_BYTES_MAX: usize = 64;

/// A host that a connection waits for.
pub(super) struct Asked {
    host: String,
    hosts: HostPattern,
    who: String,
    until: Instant,
}

/// What a person says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// As long as the instance runs.
    Once,
    /// From now on.
    Always,
    No,
    /// None, in the time that there was.
    Late,
}

/// The questions of an instance, of which one is asked at a time.
#[derive(Default)]
pub(super) struct Questions {
    waiting: VecDeque<Asked>,
    shown: Option<(Asked, oneshot::Receiver<Answer>)>,
}

impl Questions {
    /// Takes note of a question.
    pub(super) fn add(&mut self, instance: &Instance, event: &Event) {
        let Event::Asked {
            service,
            host,
            port,
        } = event
        else {
            return;
        };
        let hosts = match Host::requested(host) {
            Some(Host::Name(name)) => Hosts::Name(name),
            Some(Host::Ip(address)) => Hosts::Ip(address),
            // None of ours: its connections wait in vain.
            None => return,
        };
        let service = service.as_ref().map(|service| format!(" ({service})"));
        self.waiting.push_back(Asked {
            host: host.clone(),
            hosts: HostPattern { hosts, port: *port },
            who: format!("{}{}", instance.name, service.unwrap_or_default()),
            until: Instant::now() + Question::TIME,
        });
    }

    /// Asks, and returns what is answered. May be given up and called again.
    pub(super) async fn next(&mut self, ui: &Ui, instance: &Instance) -> (Asked, Answer) {
        loop {
            if let Some((_, answer)) = &mut self.shown {
                let answer = answer.await.unwrap_or(Answer::No);
                if let Some((asked, _)) = self.shown.take() {
                    return (asked, answer);
                }
            }
            match self.waiting.pop_front() {
                Some(asked) => self.shown = Some(show(ui, instance, asked)),
                None => std::future::pending().await,
            }
        }
    }
}

/// Shows a question, and begins to wait for its answer. Nothing waits for that thread: it ends with the time for an answer, or with the command.
fn show(ui: &Ui, instance: &Instance, asked: Asked) -> (Asked, oneshot::Receiver<Answer>) {
    let name = &instance.name;
    let target = visible(&asked.hosts.to_string());
    let terminal = terminal();
    ui.say(&format!(
        "{} calls {target}, which no rule names; may it?",
        asked.who
    ));
    ui.detail(&format!("o and Enter: yes, until {name} stops"));
    ui.detail(&format!(
        "a and Enter: yes, from now on, as by `mira net allow {name} {target}`"
    ));
    ui.detail(&format!(
        "Enter alone: no; nor without an answer within {} s",
        Question::TIME.as_secs()
    ));
    let (tell, answer) = oneshot::channel();
    let until = asked.until;
    std::thread::spawn(move || {
        // Where there is no terminal any more, the answer is no.
        let answered = terminal.and_then(|terminal| read_answer(&terminal, until));
        let answered = answered.unwrap_or(Answer::No);
        // Who asked may be gone.
        tell.send(answered).ok();
    });
    (asked, answer)
}

/// Does what was answered, and then lets those go on that have waited.
pub(super) async fn settle(
    apps: &Apps,
    ui: &Ui,
    instance: &Instance,
    manifest: &Manifest,
    asked: &Asked,
    answer: Answer,
) -> Result<(), CommandError> {
    let (id, name) = (instance.id.as_str(), &instance.name);
    let target = visible(&asked.hosts.to_string());
    match answer {
        Answer::Once => ui.say(&format!("{name} may call {target} until it stops")),
        Answer::Always => {
            let (store, hosts) = (apps.instances.store(), asked.hosts.to_string());
            store.decide(&instance.id, &hosts, true).await?;
            let rules = apps.instances.policy_rules(instance, manifest).await?;
            apps.client.replace_rules(id, &rules).await?;
            ui.say(&format!("{name} may call {target}"));
        }
        // What is refused is told as it is recorded.
        Answer::No => {}
        Answer::Late => ui.say(&format!("nothing was answered about {target}: that is no")),
    }
    let once = answer == Answer::Once;
    Ok(apps
        .client
        .answer(id, &asked.host, asked.hosts.port, once)
        .await?)
}

/// Returns the terminal that this command has, without what was typed before.
fn terminal() -> io::Result<File> {
    let terminal = OpenOptions::new().read(true).open("/dev/tty")?;
    tcflush(&terminal, QueueSelector::IFlush)?;
    Ok(terminal)
}

/// Reads an answer.
fn read_answer(terminal: &File, until: Instant) -> io::Result<Answer> {
    loop {
        let left = until.saturating_duration_since(Instant::now());
        // Another program has the terminal, if this one was put into the background: then its keys are none of ours.
        if left.is_zero() || tcgetpgrp(terminal)? != getpgrp() {
            return Ok(Answer::Late);
        }
        let look = left.min(LOOK);
        let look = Timespec::try_from(look).map_err(io::Error::other)?;
        let mut waiting = [PollFd::new(terminal, PollFlags::IN)];
        match poll(&mut waiting, Some(&look)) {
            Ok(0) | Err(rustix::io::Errno::INTR) => continue,
            Ok(_) => {}
            Err(error) => return Err(error.into()),
        }
        let mut line = [0; ANSWER_BYTES_MAX];
        let count = rustix::io::read(terminal, &mut line)?;
        return Ok(answer(line.get(..count).unwrap_or_default()));
    }
}

/// How often it is looked whether the terminal is still this program's.
const LOOK: Duration = Duration::from_secs(1);

fn answer(line: &[u8]) -> Answer {
    match line.trim_ascii() {
        b"o" | b"O" => Answer::Once,
        b"a" | b"A" => Answer::Always,
        _ => Answer::No,
    }
}

/// Returns a text of visible ASCII.
fn visible(text: &str) -> String {
    let shown = text.chars();
    shown
        .map(|c| if c.is_ascii_graphic() { c } else { '?' })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_is_no_clear_yes_is_no() {
        let check = |line: &str, expect: Answer| {
            assert_eq!(answer(line.as_bytes()), expect, "{line:?}");
        };
        check("o\n", Answer::Once);
        check(" A \n", Answer::Always);
        check("\n", Answer::No);
        check("", Answer::No);
        check("d\n", Answer::No);
        check("yes\n", Answer::No);
        check("oo\n", Answer::No);
    }

    #[test]
    fn a_host_is_shown_without_what_a_terminal_would_obey() {
        assert_eq!(visible("a\u{1b}[2K.test:8\u{202e}0"), "a?[2K.test:8?0");
    }
}
