//! Policy rules (`ip rule`): whether anything looks into the table of our routes.
//!
//! Routes in a table that no rule names are installed, shown, and used for nothing. This is asked once and away from the
//! road of the routes, so the typed packet crates do it.

use std::io;
use std::time::Duration;

use bgp_wire::PerFamily;
use futures::TryStreamExt;
use netlink_packet_route::rule::{RuleAction, RuleAttribute, RuleMessage};
use rtnetlink::IpVersion;

/// A request whose answer is lost would wait for ever.
const PATIENCE: Duration = Duration::from_secs(2);

/// Whether a rule of the calling thread's network namespace leads to `table`; wants a tokio runtime.
///
/// # Errors
/// The rules cannot be read.
pub async fn consulted(table: u32) -> io::Result<PerFamily<bool>> {
    let (connection, handle, _) = rtnetlink::new_connection()?;
    let connection = tokio::spawn(connection);
    let found = tokio::time::timeout(PATIENCE, async {
        Ok(PerFamily {
            ipv4: leads_to(table, &handle, IpVersion::V4).await?,
            ipv6: leads_to(table, &handle, IpVersion::V6).await?,
        })
    });
    let found = found.await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
    connection.abort();
    found
}

async fn leads_to(table: u32, handle: &rtnetlink::Handle, version: IpVersion) -> io::Result<bool> {
    let rules = handle.rule().get(version).execute().try_collect::<Vec<_>>().await;
    let rules = rules.map_err(|error| io::Error::other(error.to_string()))?;
    Ok(rules.iter().any(|rule| rule.header.action == RuleAction::ToTable && table_of(rule) == table))
}

/// The header has room for numbers up to 255 only.
fn table_of(rule: &RuleMessage) -> u32 {
    let attribute = rule.attributes.iter().find_map(|attribute| match attribute {
        RuleAttribute::Table(table) => Some(*table),
        _ => None,
    });
    attribute.unwrap_or(rule.header.table.into())
}
