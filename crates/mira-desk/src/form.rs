//! What a form sends: every field is taken for a secret until a handler reads it as text.

use axum::body::to_bytes;
use axum::extract::{FromRequest, Request};
use axum::http::StatusCode;
use mira_secret::SecretBytes;
use zeroize::Zeroizing;

use crate::Handle;
use crate::error::DeskError;
use crate::opened::Opened;

/// The longest form, in bytes, as it is sent.
// LIMIT: a value of 128 KiB of which every byte is sent as three, and the other fields.
const FORM_BYTES_MAX: usize = 512 * 1024;

/// The fields of a form.
#[derive(Debug)]
pub(crate) struct Form {
    fields: Vec<(String, SecretBytes)>,
    opened: Opened,
}

impl Form {
    /// Parses a body (`application/x-www-form-urlencoded`, URL Standard section 5.1).
    pub(crate) fn parse(body: &[u8], opened: Opened) -> Self {
        let fields = form_urlencoded::parse(body);
        Self {
            fields: fields
                .map(|(name, value)| {
                    let value = Zeroizing::new(value.into_owned());
                    (name.into_owned(), SecretBytes::copy_from(value.as_bytes()))
                })
                .collect(),
            opened,
        }
    }

    fn find(&self, name: &str) -> Option<&SecretBytes> {
        let mut fields = self.fields.iter();
        fields
            .find(|(known, _)| known == name)
            .map(|(_, value)| value)
    }

    /// Returns a field that is no secret, without blanks around it; an empty one is none.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        // EXPOSE: to the handler, which says by asking for text that it is no secret.
        let text = std::str::from_utf8(self.find(name)?.expose()).ok()?.trim();
        (!text.is_empty()).then_some(text)
    }

    /// Returns a field that is no secret and has to be there.
    pub(crate) fn required(&self, name: &'static str, what: &str) -> Result<&str, DeskError> {
        self.text(name)
            .ok_or_else(|| DeskError::unfit(format!("{what} is missing")))
    }

    /// Takes a secret field out; line breaks are as they were typed (a form sends each as CR LF).
    pub(crate) fn secret(&mut self, name: &str) -> Option<SecretBytes> {
        let at = self.fields.iter().position(|(known, _)| known == name)?;
        let (_, value) = self.fields.swap_remove(at);
        // EXPOSE: to the mending of line breaks; both copies are wiped.
        let plain = Zeroizing::new(value.expose().to_vec());
        let mut mended = Vec::with_capacity(plain.len());
        let mut bytes = plain.iter().copied().peekable();
        while let Some(byte) = bytes.next() {
            if byte != b'\r' || bytes.peek() != Some(&b'\n') {
                mended.push(byte);
            }
        }
        self.opened.tell(name, &mended);
        Some(SecretBytes::from_vec(mended))
    }
}

impl FromRequest<Handle> for Form {
    type Rejection = DeskError;

    async fn from_request(request: Request, desk: &Handle) -> Result<Self, DeskError> {
        match to_bytes(request.into_body(), FORM_BYTES_MAX).await {
            Ok(bytes) => Ok(Self::parse(&bytes, desk.opened.clone())),
            Err(_) => Err(DeskError::new(
                StatusCode::PAYLOAD_TOO_LARGE,
                format!("a form has at most {FORM_BYTES_MAX} bytes, and has to come whole"),
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_text_when_asked_and_secrets_keep_their_line_breaks() {
        let body = b"name=+OPENAI_API_KEY+&value=one%0D%0Atwo%0A%20&empty=&name=second";
        let mut form = Form::parse(body, Opened::default());
        assert_eq!(form.text("name"), Some("OPENAI_API_KEY"));
        assert_eq!(form.text("empty"), None);
        assert_eq!(form.text("absent"), None);
        let value = form.secret("value").unwrap();
        assert_eq!(value.expose(), b"one\ntwo\n ");
        assert!(form.secret("value").is_none());
        assert!(!format!("{form:?}").contains("OPENAI"));
    }
}
