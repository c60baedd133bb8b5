//! Wrong passwords at the sign-in page: whoever gives many has to wait longer and longer.
//!
//! They are counted for the account's name, whether there is such an account or not, and for the address. An attempt is written down
//! before the password is looked at, and counts as a wrong one until it was right: many at once get no guess for free.
//!
//! INVARIANT: a clock that is set back makes nobody's wait shorter; counts survive a restart; the table has a bounded size.

use std::net::{IpAddr, Ipv6Addr};

use data_encoding::HEXLOWER;
use jiff::Timestamp;
use sha2::{Digest as _, Sha256};

use crate::shared::Shared;
use crate::shared::backend::{Row, Transaction};
use crate::shared::error::{Fault, SharedError};
use crate::shared::name::UserName;

/// How many wrong passwords an account takes before anybody has to wait.
// LIMIT: a person's slips.
const ACCOUNT_FREE: i64 = 5;

/// How many an address takes.
// LIMIT: an office has one address, and its people sign in at the same hour.
const ADDRESS_FREE: i64 = 50;

/// The first wait, in milliseconds. Each further wrong password doubles it.
const DELAY_MS: i64 = 1_000;

/// The longest wait, in milliseconds.
// LIMIT: whoever keeps somebody out on purpose does it for five minutes at a time; a guesser gets 300 guesses a day.
const DELAY_MS_MAX: i64 = 5 * 60 * 1_000;

/// How long a count is kept after its last attempt, in milliseconds.
const KEPT_MS: i64 = 24 * 60 * 60 * 1_000;

/// How many counts are kept.
// LIMIT: a few megabytes; who floods the table pushes out the lowest counts first, which is hardly what he wants.
const ROWS_MAX: i64 = 10_000;

/// Whether somebody may try a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoginAttempt {
    /// Yes; it counts as wrong until [`Shared::login_succeeded`].
    Allowed,
    /// No, whatever the password is.
    Wait {
        /// Until when.
        until: Timestamp,
    },
}

/// What is known of one account or address.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Count {
    failures: i64,
    last_ms: i64,
    until_ms: i64,
}

impl Count {
    /// Takes account of the time that has passed, or of a clock that was set back.
    fn as_of(self, now_ms: i64, free: i64) -> Self {
        if now_ms < self.last_ms {
            // What is left of the wait is not known, so all of it begins anew.
            return self.counted(self.failures, now_ms, free);
        }
        match now_ms - self.last_ms > KEPT_MS {
            true => Self::default(),
            false => self,
        }
    }

    fn counted(self, failures: i64, now_ms: i64, free: i64) -> Self {
        Self {
            failures,
            last_ms: now_ms,
            until_ms: now_ms + delay_ms(failures - free),
        }
    }
}

/// Returns how long to wait after so many wrong passwords beyond the free ones.
fn delay_ms(beyond: i64) -> i64 {
    match beyond {
        ..=0 => 0,
        1..=20 => (DELAY_MS << (beyond - 1)).min(DELAY_MS_MAX),
        _ => DELAY_MS_MAX,
    }
}

/// What attempts are counted for: its key, and how many wrong ones are free.
type Counted = (String, i64);

fn counted(account: &str, address: IpAddr) -> [Counted; 2] {
    [
        (account_key(account), ACCOUNT_FREE),
        (address_key(address), ADDRESS_FREE),
    ]
}

/// An account's name is hashed: people type passwords into the wrong field.
fn account_key(account: &str) -> String {
    let name: Option<UserName> = account.parse().ok();
    let name = name.as_ref().map_or(account, UserName::as_str);
    format!("account {}", HEXLOWER.encode(&Sha256::digest(name)))
}

/// Whoever has one address of IPv6 has the 64 bits below its network too.
fn address_key(address: IpAddr) -> String {
    match address.to_canonical() {
        IpAddr::V4(address) => format!("address {address}"),
        IpAddr::V6(address) => {
            let network = Ipv6Addr::from_bits(address.to_bits() >> 64 << 64);
            format!("address {network}/64")
        }
    }
}

impl Shared {
    /// Reserves an attempt to sign in, before the password is looked at.
    ///
    /// # Errors
    ///
    /// Returns what the database reports; then nothing may be tried.
    pub async fn attempt_login(
        &self,
        account: &str,
        address: IpAddr,
        now: Timestamp,
    ) -> Result<LoginAttempt, SharedError> {
        let work = async {
            let now_ms = now.as_millisecond();
            let mut transaction = self.write().await?;
            let mut until_ms = now_ms;
            let mut counts = Vec::new();
            for (key, free) in counted(account, address) {
                let before = read(&mut transaction, &key).await?;
                let count = before.as_of(now_ms, free);
                until_ms = until_ms.max(count.until_ms);
                counts.push((key, free, before, count));
            }
            let allowed = until_ms == now_ms;
            for (key, free, before, count) in counts {
                let count = match allowed {
                    true => count.counted(count.failures.saturating_add(1), now_ms, free),
                    false => count,
                };
                if count != before {
                    write(&mut transaction, &key, count).await?;
                }
            }
            if allowed {
                bound(&mut transaction, now_ms).await?;
            }
            transaction.commit().await?;
            Ok(match allowed {
                true => LoginAttempt::Allowed,
                false => LoginAttempt::Wait {
                    until: Timestamp::from_millisecond(until_ms).unwrap_or(Timestamp::MAX),
                },
            })
        };
        self.told(work).await
    }

    /// Says that a reserved attempt was right: forgets the account's wrong ones, and takes this one off the address.
    ///
    /// The address keeps its others, lest somebody with an account of his own guess for others without end.
    ///
    /// # Errors
    ///
    /// Returns what the database reports.
    pub async fn login_succeeded(
        &self,
        account: &str,
        address: IpAddr,
        now: Timestamp,
    ) -> Result<(), SharedError> {
        let work = async {
            let mut transaction = self.write().await?;
            let [(account, _), (address, free)] = counted(account, address);
            let sql = "DELETE FROM login_throttles WHERE throttle_key = $1";
            transaction.execute(sql, &[account.as_str().into()]).await?;
            let now_ms = now.as_millisecond();
            let count = read(&mut transaction, &address).await?.as_of(now_ms, free);
            let count = count.counted((count.failures - 1).max(0), count.last_ms, free);
            write(&mut transaction, &address, count).await?;
            Ok(transaction.commit().await?)
        };
        self.told(work).await
    }
}

async fn read(transaction: &mut Transaction, key: &str) -> Result<Count, Fault> {
    let sql = "SELECT failures, last_ms, until_ms FROM login_throttles WHERE throttle_key = $1";
    let row = transaction.row(sql, &[key.into()]).await?;
    let count = |row: Row| {
        Ok::<_, sqlx::Error>(Count {
            failures: row.int("failures")?,
            last_ms: row.int("last_ms")?,
            until_ms: row.int("until_ms")?,
        })
    };
    Ok(row.map(count).transpose()?.unwrap_or_default())
}

async fn write(transaction: &mut Transaction, key: &str, count: Count) -> Result<(), Fault> {
    let values = [
        key.into(),
        count.failures.into(),
        count.last_ms.into(),
        count.until_ms.into(),
    ];
    let sql = "INSERT INTO login_throttles (throttle_key, failures, last_ms, until_ms) VALUES ($1, $2, $3, $4)
        ON CONFLICT (throttle_key) DO UPDATE
        SET failures = excluded.failures, last_ms = excluded.last_ms, until_ms = excluded.until_ms";
    transaction.execute(sql, &values).await?;
    Ok(())
}

/// Forgets what is old, and the lowest counts where there are too many.
async fn bound(transaction: &mut Transaction, now_ms: i64) -> Result<(), Fault> {
    let old = "DELETE FROM login_throttles WHERE last_ms < $1";
    transaction
        .execute(old, &[(now_ms - KEPT_MS).into()])
        .await?;
    let sql = "SELECT count(*) AS many FROM login_throttles";
    let row = transaction.row(sql, &[]).await?;
    let many = row.map_or(Ok(0), |row| row.int("many"))?;
    if many > ROWS_MAX {
        let lowest = "DELETE FROM login_throttles WHERE throttle_key IN
            (SELECT throttle_key FROM login_throttles ORDER BY failures, last_ms LIMIT $1)";
        transaction
            .execute(lowest, &[(many - ROWS_MAX).into()])
            .await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_a_bound() {
        let seconds = |beyond: i64| delay_ms(beyond) / 1_000;
        assert_eq!([-9, 0, 1, 2, 3, 9].map(seconds), [0, 0, 1, 2, 4, 256]);
        assert_eq!([10, 40, 70, i64::MAX].map(seconds), [300; 4]);
    }

    #[test]
    fn accounts_and_networks_have_one_key() {
        assert_eq!(account_key("Anna"), account_key("ＡＮＮＡ"));
        assert_ne!(account_key("anna"), account_key("ann"));
        assert!(!account_key("hunter2 hunter2").contains("hunter2"));
        let key = |text: &str| address_key(text.parse().unwrap());
        assert_eq!(key("::ffff:192.0.2.1"), key("192.0.2.1"));
        assert_ne!(key("192.0.2.2"), key("192.0.2.1"));
        assert_eq!(key("2001:db8:0:1::1"), "address 2001:db8:0:1::/64");
        assert_eq!(key("2001:db8:0:1::1"), key("2001:db8:0:1:ffff::2"));
        assert_ne!(key("2001:db8:0:1::1"), key("2001:db8:0:2::1"));
    }
}
