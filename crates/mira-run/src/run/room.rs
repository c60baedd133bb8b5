//! A room for a program in the foreground.

#[cfg(target_os = "linux")]
pub use linux::RunRoom;

#[cfg(target_os = "linux")]
mod linux {
    use std::ffi::CString;
    use std::io;

    use mira_sandbox::{Confinement, Entrance};
    use rustix::process::chdir;

    /// A room for a program, and what it may not do in it.
    #[derive(Debug)]
    pub struct RunRoom {
        entrance: Entrance,
        confinement: Confinement,
        /// The folder to begin in: entering a room leaves the one that we are in.
        folder: CString,
    }

    impl RunRoom {
        /// Prepares the way into a room, in the folder that we are in.
        ///
        /// # Errors
        ///
        /// The folder is gone, or the system has no filter for what a program may do.
        pub fn new(entrance: Entrance) -> io::Result<Self> {
            let folder = std::env::current_dir()?.into_os_string();
            Ok(Self {
                entrance,
                confinement: Confinement::new().map_err(io::Error::other)?,
                folder: CString::new(folder.into_encoded_bytes())?,
            })
        }

        /// Enters the room. System calls only.
        pub(in crate::run) fn enter(&self) -> rustix::io::Result<()> {
            self.entrance.enter()?;
            chdir(&self.folder)
        }

        /// Gives up what is not needed in it. System calls only.
        pub(in crate::run) fn confine(&self) -> rustix::io::Result<()> {
            self.confinement.apply()
        }
    }
}

/// There are no rooms on this system.
#[cfg(not(target_os = "linux"))]
#[derive(Debug)]
pub enum RunRoom {}

#[cfg(not(target_os = "linux"))]
impl RunRoom {
    pub(super) fn enter(&self) -> rustix::io::Result<()> {
        match *self {}
    }

    pub(super) fn confine(&self) -> rustix::io::Result<()> {
        match *self {}
    }
}
