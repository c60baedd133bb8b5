//! Users who sign in elsewhere: at a provider of OpenID Connect.
//!
//! INVARIANT: a person is known by issuer and subject, never by a name: who has the name of a user here does not become that user.

use jiff::Timestamp;

use crate::shared::Shared;
use crate::shared::error::SharedError;
use crate::shared::id::UserId;
use crate::shared::name::UserName;
use crate::shared::users::{NewUser, Role, User, existing, insert, spare_last_admin};
use crate::text;

/// What a provider says of a person who signs in.
#[derive(Clone, Copy, Debug)]
pub struct Identity<'a> {
    /// The provider (`iss`).
    pub issuer: &'a str,
    /// Its lasting identifier of the person (`sub`).
    pub subject: &'a str,
    /// What the user is called if there is none yet.
    pub name: &'a UserName,
    /// What the user may do from now on.
    pub role: Role,
}

impl Shared {
    /// Returns the user of an identity, with the role that it has now; a new identity gets a new user. A user whose role changes
    /// loses all sessions. A disabled user is returned, and stays disabled.
    ///
    /// # Errors
    ///
    /// Refuses a new identity whose name another user has, and to make less of the last admin.
    pub async fn user_of_identity(
        &self,
        identity: &Identity<'_>,
        now: Timestamp,
    ) -> Result<User, SharedError> {
        let work = async {
            text::line("the issuer", identity.issuer)?;
            text::line("the subject", identity.subject)?;
            let mut transaction = self.write().await?;
            let key = [identity.issuer.into(), identity.subject.into()];
            let sql = "SELECT user_id FROM identities WHERE issuer = $1 AND subject = $2";
            let user = match transaction.row(sql, &key).await? {
                Some(row) => {
                    let id: UserId = row.parsed("user_id")?;
                    existing(&mut transaction, &id).await?
                }
                None => {
                    let new = NewUser {
                        name: identity.name.clone(),
                        role: identity.role,
                        password: None,
                    };
                    let user = insert(&mut transaction, &new, now).await?;
                    let sql =
                        "INSERT INTO identities (issuer, subject, user_id) VALUES ($1, $2, $3)";
                    let [issuer, subject] = key;
                    let values = [issuer, subject, user.id.as_str().into()];
                    transaction.execute(sql, &values).await?;
                    user
                }
            };
            let user = match user.role == identity.role {
                true => user,
                false => {
                    if identity.role != Role::Admin {
                        spare_last_admin(&mut transaction, &user).await?;
                    }
                    let id = user.id.as_str().into();
                    let sql = "UPDATE users SET role = $3, credentials_version = credentials_version + 1, user_changed_ms = $2
                         WHERE user_id = $1";
                    let values = [id, now.into(), identity.role.as_str().into()];
                    transaction.execute(sql, &values).await?;
                    let revoke = "DELETE FROM sessions WHERE user_id = $1";
                    transaction.execute(revoke, &[id]).await?;
                    existing(&mut transaction, &user.id).await?
                }
            };
            transaction.commit().await?;
            Ok(user)
        };
        self.told(work).await
    }
}
