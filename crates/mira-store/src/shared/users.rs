//! Who may sign in, and as what.
//!
//! INVARIANT: where there was an admin who can sign in, there is one: the last is not removed, disabled or made less. What somebody
//! signed in with before a change of password or role, or before being disabled, is worth nothing after it.

use std::fmt;

use jiff::Timestamp;

use crate::shared::Shared;
use crate::shared::api_tokens::TokenScope;
use crate::shared::backend::{Row, Transaction, Value};
use crate::shared::error::{Fault, SharedError};
use crate::shared::id::UserId;
use crate::shared::name::UserName;
use crate::shared::words::words;
use crate::text;

words! {
    /// What a user may do; each role includes the ones before it.
    Role {
        /// May look.
        Viewer = "viewer",
        /// May run apps too.
        Operator = "operator",
        /// May do everything.
        Admin = "admin",
    }
}

impl Role {
    /// Returns the widest scope of a token that a user of this role may have.
    #[must_use]
    pub const fn scope(self) -> TokenScope {
        match self {
            Self::Viewer => TokenScope::Read,
            Self::Operator => TokenScope::Operate,
            Self::Admin => TokenScope::Admin,
        }
    }
}

/// What Argon2id made of a password, as a PHC string. `Debug` prints the type's name only.
#[derive(Clone, PartialEq, Eq)]
pub struct PasswordHash(Box<str>);

impl PasswordHash {
    /// Takes a PHC string.
    ///
    /// # Errors
    ///
    /// It is none, or too long.
    pub fn new(phc: &str) -> Result<Self, SharedError> {
        let what = "the hash of the password";
        text::line(what, phc)?;
        match phc.starts_with('$') {
            true => Ok(Self(phc.into())),
            false => Err(SharedError::Unfit {
                what,
                bytes_max: text::TEXT_BYTES_MAX,
            }),
        }
    }

    /// Returns the PHC string, for verifying a password.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PasswordHash")
    }
}

/// Somebody who may sign in.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct User {
    /// The id.
    pub id: UserId,
    /// The name.
    pub name: UserName,
    /// What the user may do.
    pub role: Role,
    /// Whether there is a password; without one, the user signs in elsewhere.
    pub has_password: bool,
    /// Whether the user is kept out.
    pub disabled: bool,
    /// When the user was added.
    pub created: Timestamp,
    /// When role, password or `disabled` were changed last.
    pub changed: Timestamp,
    /// Counts those changes.
    pub credentials_version: i64,
}

/// Reads of a user what [`User`] holds: all but the hash of the password.
macro_rules! user_columns {
    () => {
        "users.user_id, user_name, role, disabled, credentials_version, user_created_ms, user_changed_ms, \
         password_hash IS NOT NULL AS has_password"
    };
}

pub(crate) use user_columns;

impl User {
    pub(crate) fn of_row(row: &Row) -> Result<Self, sqlx::Error> {
        Ok(Self {
            id: row.parsed("user_id")?,
            name: row.parsed("user_name")?,
            role: row.parsed("role")?,
            has_password: row.flag("has_password")?,
            disabled: row.flag("disabled")?,
            created: row.time("user_created_ms")?,
            changed: row.time("user_changed_ms")?,
            credentials_version: row.int("credentials_version")?,
        })
    }

    fn is_working_admin(&self) -> bool {
        self.role == Role::Admin && !self.disabled
    }
}

/// A user to be added.
#[derive(Clone, Debug)]
pub struct NewUser {
    /// The name.
    pub name: UserName,
    /// What the user may do.
    pub role: Role,
    /// What the user signs in with, unless that is elsewhere.
    pub password: Option<PasswordHash>,
}

/// A user, and what a password is compared with.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Login {
    /// The user.
    pub user: User,
    /// What the password is compared with, if the user has one.
    pub password: Option<PasswordHash>,
}

impl Shared {
    /// Adds a user.
    ///
    /// # Errors
    ///
    /// Refuses a name that is taken.
    pub async fn create_user(&self, new: &NewUser, now: Timestamp) -> Result<User, SharedError> {
        let work = async {
            let mut transaction = self.write().await?;
            let user = insert(&mut transaction, new, now).await?;
            transaction.commit().await?;
            Ok(user)
        };
        self.told(work).await
    }

    /// Adds an admin where there is no user yet; returns nothing, and adds none, where there is one.
    ///
    /// # Errors
    ///
    /// Returns what the database reports.
    pub async fn create_first_admin(
        &self,
        name: &UserName,
        password: Option<&PasswordHash>,
        now: Timestamp,
    ) -> Result<Option<User>, SharedError> {
        let work = async {
            let mut transaction = self.write().await?;
            let sql = "SELECT user_id FROM users LIMIT 1";
            if transaction.row(sql, &[]).await?.is_some() {
                return Ok(None);
            }
            let new = NewUser {
                name: name.clone(),
                role: Role::Admin,
                password: password.cloned(),
            };
            let user = insert(&mut transaction, &new, now).await?;
            transaction.commit().await?;
            Ok(Some(user))
        };
        self.told(work).await
    }

    /// Returns all users, by name.
    ///
    /// # Errors
    ///
    /// Returns what the database reports.
    pub async fn users(&self) -> Result<Vec<User>, SharedError> {
        let work = async {
            let sql = concat!("SELECT ", user_columns!(), " FROM users");
            let rows = self.pools().rows(sql, &[]).await?;
            let users: Result<Vec<User>, sqlx::Error> = rows.iter().map(User::of_row).collect();
            let mut users = users?;
            // Here, since the databases do not agree on the order of texts.
            users.sort_by(|one, other| one.name.cmp(&other.name));
            Ok(users)
        };
        self.told(work).await
    }

    /// Returns a user, if there is one of this id.
    ///
    /// # Errors
    ///
    /// Returns what the database reports.
    pub async fn user(&self, id: &UserId) -> Result<Option<User>, SharedError> {
        let sql = concat!("SELECT ", user_columns!(), " FROM users WHERE user_id = $1");
        let work = async {
            let row = self.pools().row(sql, &[id.as_str().into()]).await?;
            Ok(row.as_ref().map(User::of_row).transpose()?)
        };
        self.told(work).await
    }

    /// Returns a user, if there is one of this name.
    ///
    /// # Errors
    ///
    /// Returns what the database reports.
    pub async fn user_named(&self, name: &UserName) -> Result<Option<User>, SharedError> {
        Ok(self.login(name).await?.map(|login| login.user))
    }

    /// Returns a user and what a password is compared with, also of a user who is disabled.
    ///
    /// # Errors
    ///
    /// Returns what the database reports.
    pub async fn login(&self, name: &UserName) -> Result<Option<Login>, SharedError> {
        let sql = concat!(
            "SELECT password_hash, ",
            user_columns!(),
            " FROM users WHERE user_name = $1"
        );
        let work = async {
            let Some(row) = self.pools().row(sql, &[name.as_str().into()]).await? else {
                return Ok(None);
            };
            let hash = row.text_if_any("password_hash")?;
            let password = hash.map(|hash| PasswordHash(hash.into()));
            let user = User::of_row(&row)?;
            Ok(Some(Login { user, password }))
        };
        self.told(work).await
    }

    /// Gives a user another role, and ends the user's sessions.
    ///
    /// # Errors
    ///
    /// Refuses to make less of the last admin.
    pub async fn set_role(
        &self,
        id: &UserId,
        role: Role,
        now: Timestamp,
    ) -> Result<User, SharedError> {
        self.change(
            id,
            role == Role::Admin,
            "UPDATE users SET role = $3, credentials_version = credentials_version + 1, user_changed_ms = $2
             WHERE user_id = $1",
            role.as_str().into(),
            now,
        )
        .await
    }

    /// Gives a user another password, or none, and ends the user's sessions.
    ///
    /// # Errors
    ///
    /// Returns [`SharedError::NoSuchUser`] where there is none.
    pub async fn set_password(
        &self,
        id: &UserId,
        password: Option<&PasswordHash>,
        now: Timestamp,
    ) -> Result<User, SharedError> {
        self.change(
            id,
            true,
            "UPDATE users SET password_hash = $3, credentials_version = credentials_version + 1, user_changed_ms = $2
             WHERE user_id = $1",
            password.map(PasswordHash::as_str).into(),
            now,
        )
        .await
    }

    /// Keeps a user out, or lets the user in again, and ends the user's sessions.
    ///
    /// # Errors
    ///
    /// Refuses to keep out the last admin.
    pub async fn set_disabled(
        &self,
        id: &UserId,
        disabled: bool,
        now: Timestamp,
    ) -> Result<User, SharedError> {
        self.change(
            id,
            !disabled,
            "UPDATE users SET disabled = $3, credentials_version = credentials_version + 1, user_changed_ms = $2
             WHERE user_id = $1",
            disabled.into(),
            now,
        )
        .await
    }

    /// Removes a user, with sessions and API tokens; returns who that was.
    ///
    /// # Errors
    ///
    /// Refuses to remove the last admin.
    pub async fn remove_user(&self, id: &UserId) -> Result<User, SharedError> {
        let work = async {
            let mut transaction = self.write().await?;
            let user = existing(&mut transaction, id).await?;
            spare_last_admin(&mut transaction, &user).await?;
            let sql = "DELETE FROM users WHERE user_id = $1";
            transaction.execute(sql, &[id.as_str().into()]).await?;
            transaction.commit().await?;
            Ok(user)
        };
        self.told(work).await
    }

    /// Changes one thing of a user, and ends the user's sessions.
    async fn change(
        &self,
        id: &UserId,
        keeps_admins: bool,
        sql: &'static str,
        value: Value<'_>,
        now: Timestamp,
    ) -> Result<User, SharedError> {
        let work = async {
            let mut transaction = self.write().await?;
            let user = existing(&mut transaction, id).await?;
            if !keeps_admins {
                spare_last_admin(&mut transaction, &user).await?;
            }
            let user = id.as_str().into();
            transaction.execute(sql, &[user, now.into(), value]).await?;
            let revoke = "DELETE FROM sessions WHERE user_id = $1";
            transaction.execute(revoke, &[user]).await?;
            let changed = existing(&mut transaction, id).await?;
            transaction.commit().await?;
            Ok(changed)
        };
        self.told(work).await
    }
}

pub(super) async fn insert(
    transaction: &mut Transaction,
    new: &NewUser,
    now: Timestamp,
) -> Result<User, Fault> {
    let id = UserId::make_random()?;
    let values = [
        id.as_str().into(),
        new.name.as_str().into(),
        new.role.as_str().into(),
        new.password.as_ref().map(PasswordHash::as_str).into(),
        now.into(),
    ];
    let sql = "INSERT INTO users
            (user_id, user_name, role, password_hash, disabled, credentials_version, user_created_ms, user_changed_ms)
        VALUES ($1, $2, $3, $4, FALSE, 1, $5, $5) ON CONFLICT (user_name) DO NOTHING";
    match transaction.execute(sql, &values).await? {
        0 => Err(SharedError::NameTaken {
            name: new.name.clone(),
        }
        .into()),
        _ => existing(transaction, &id).await,
    }
}

pub(super) async fn existing(transaction: &mut Transaction, id: &UserId) -> Result<User, Fault> {
    let sql = concat!("SELECT ", user_columns!(), " FROM users WHERE user_id = $1");
    let row = transaction.row(sql, &[id.as_str().into()]).await?;
    Ok(User::of_row(&row.ok_or(SharedError::NoSuchUser)?)?)
}

/// Refuses if a user is the only admin who can sign in.
pub(super) async fn spare_last_admin(
    transaction: &mut Transaction,
    user: &User,
) -> Result<(), Fault> {
    if !user.is_working_admin() {
        return Ok(());
    }
    let others =
        "SELECT user_id FROM users WHERE role = 'admin' AND NOT disabled AND user_id <> $1 LIMIT 1";
    match transaction.row(others, &[user.id.as_str().into()]).await? {
        Some(_) => Ok(()),
        None => Err(SharedError::LastAdmin.into()),
    }
}
