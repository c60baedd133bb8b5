//! A filter: copies standard input to standard output and replaces values by markers.
//!
//! The values come from the environment: each variable named on the command line is a secret.
//!
//! ```sh
//! TOKEN=hunter2hunter2 cargo run -q -p mira-redact --example filter TOKEN < build.log
//! ```

use std::io::{self, Read, Write};
use std::sync::Arc;
use std::time::Instant;

use mira_redact::{Coverage, NeedleSet, Redactor};

fn main() -> io::Result<()> {
    let mut builder = NeedleSet::builder();
    for name in std::env::args().skip(1) {
        let Some(value) = std::env::var_os(&name) else {
            return Err(io::Error::other(format!(
                "{name} is not set; set it or leave it out"
            )));
        };
        if builder.add(&name, value.as_encoded_bytes()) == Coverage::TooShort {
            writeln!(
                io::stderr(),
                "{name} is too short to be redacted without damaging other text"
            )?;
        }
    }
    let mut redactor = Redactor::new(Arc::new(builder.build()));
    let (mut input, mut output) = (io::stdin().lock(), io::stdout().lock());
    loop {
        let len = match input.read(redactor.spare()) {
            Ok(0) => break,
            Ok(len) => len,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        output.write_all(redactor.filled(len, Instant::now()))?;
    }
    output.write_all(redactor.finish())?;
    output.flush()
}
