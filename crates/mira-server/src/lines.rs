//! JSON lines over a connection, in both directions.

use std::io;

use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::io::{AsyncBufRead, AsyncBufReadExt as _, AsyncWrite, AsyncWriteExt as _};

use crate::wire::LINE_BYTES_MAX;

/// Returns a value as a line.
pub(crate) fn encode(value: &impl Serialize) -> io::Result<Vec<u8>> {
    let mut line = serde_json::to_vec(value)?;
    line.push(b'\n');
    Ok(line)
}

/// Writes a value as a line.
pub(crate) async fn write(
    stream: &mut (impl AsyncWrite + Unpin),
    value: &impl Serialize,
) -> io::Result<()> {
    stream.write_all(&encode(value)?).await?;
    stream.flush().await
}

/// Reads a line; `None` at the stream's end. Can be given up and tried again only with the same `line`.
pub(crate) async fn read<T: DeserializeOwned>(
    stream: &mut (impl AsyncBufRead + Unpin),
    line: &mut Vec<u8>,
) -> io::Result<Option<T>> {
    let invalid = |message| io::Error::new(io::ErrorKind::InvalidData, message);
    loop {
        let read = stream.fill_buf().await?;
        if read.is_empty() {
            return match line.is_empty() {
                true => Ok(None),
                false => Err(io::ErrorKind::UnexpectedEof.into()),
            };
        }
        let end = read.iter().position(|&byte| byte == b'\n');
        let taken = end.map_or(read.len(), |end| end + 1);
        line.extend_from_slice(read.get(..taken).unwrap_or_default());
        stream.consume(taken);
        if line.len() > LINE_BYTES_MAX {
            return Err(invalid("the line is too long to be one of Mira's"));
        }
        if end.is_some() {
            let value = serde_json::from_slice(line)
                .map_err(|_| invalid("the line is not one that this version of Mira knows"))?;
            line.clear();
            return Ok(Some(value));
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::BufReader;

    use super::*;

    #[tokio::test]
    async fn lines_come_as_they_were_sent_and_broken_ones_are_errors() {
        let mut sent = Vec::new();
        write(&mut sent, &"one").await.unwrap();
        write(&mut sent, &"two").await.unwrap();
        sent.extend_from_slice(b"\"half");
        // A buffer that is smaller than a line.
        let mut reader = BufReader::with_capacity(2, &*sent);
        let mut line = Vec::new();
        let mut next = async || read::<String>(&mut reader, &mut line).await;
        assert_eq!(next().await.unwrap().as_deref(), Some("one"));
        assert_eq!(next().await.unwrap().as_deref(), Some("two"));
        assert_eq!(
            next().await.unwrap_err().kind(),
            io::ErrorKind::UnexpectedEof
        );
        let endless = [b'a'; LINE_BYTES_MAX + 1];
        let refused = read::<String>(&mut &endless[..], &mut Vec::new()).await;
        assert_eq!(refused.unwrap_err().kind(), io::ErrorKind::InvalidData);
    }
}
