//! The porter: a small process with one thread that goes into namespaces of its own, sets them up, hands out what was asked for, and stays to make
//! further sockets.
//!
//! It ends when the socket on its standard input closes. The room stays closed then: nobody is left who could open it.
//!
//! INVARIANT: the answer to `Make` is sent only after every step was done.

use std::mem::take;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::process::ExitCode;

use rustix::fs::Mode;
use rustix::io::{Errno, Result};

use crate::network::{self, Network};
use crate::refusal::Step;
use crate::sockets::Sockets;
use crate::view::Wanted;
use crate::wire::{self, At as _, Failure, REQUEST_BYTES_MAX, Request};
use crate::{namespaces, sys, watch};

/// What the helper program does: serves one room, over the socket on its standard input.
///
/// Called first thing in a process that has one thread: descriptors from 3 on are closed.
pub fn main() -> ExitCode {
    #[expect(unsafe_code, reason = "closes what was inherited by mistake")]
    // SAFETY: this process does nothing but what follows, which uses none of them.
    unsafe {
        sys::close_from(3);
    };
    rustix::process::umask(Mode::from_raw_mode(0o022));
    match serve(rustix::stdio::stdin()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

fn serve(line: BorrowedFd<'_>) -> Result<()> {
    let mut wanted = Wanted::default();
    let mut network = None;
    loop {
        let mut buffer = [0; REQUEST_BYTES_MAX];
        let Some((request, descriptors)) = Request::receive(line, &mut buffer)? else {
            return Ok(());
        };
        let answer = match (request, network) {
            (Request::Hide(path), None) => {
                wanted.hide(path);
                continue;
            }
            (Request::Show { path, writable }, None) => {
                wanted.show(path, writable);
                continue;
            }
            (Request::File(path), None) => {
                let content = descriptors.into_iter().next().ok_or(Errno::PROTO)?;
                wanted.file(path, content);
                continue;
            }
            (Request::Devices, None) => {
                wanted.own_devices();
                continue;
            }
            (Request::Make, None) => make(take(&mut wanted)).map(|(made, descriptors)| {
                network = Some(made);
                descriptors
            }),
            (Request::Listen(port), Some(network)) => network.listeners(port).at(Step::Socket),
            (Request::Socket, Some(_)) => network::unconnected()
                .map(|socket| vec![socket])
                .at(Step::Socket),
            _ => return Err(Errno::PROTO),
        };
        wire::answer(line, &answer)?;
        if network.is_none() {
            return Err(Errno::CANCELED);
        }
    }
}

fn make(wanted: Wanted) -> std::result::Result<(Network, Vec<OwnedFd>), Failure> {
    let sockets = Sockets::of_host().at(Step::Mask)?;
    let mut descriptors = namespaces::make()?;
    let network = Network::set_up()?;
    descriptors.extend(network::dns().at(Step::Socket)?);
    descriptors.push(network::proxy().at(Step::Socket)?);
    // A kernel without packet sockets still refuses every try; it only cannot tell of it.
    descriptors.extend(watch::socket());
    wanted.apply(&sockets)?;
    namespaces::lessen().at(Step::Lessen)?;
    Ok((network, descriptors))
}
