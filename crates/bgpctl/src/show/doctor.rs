//! `doctor`: each check of the host, and below what is wrong what puts it right.

use bgp_api::{CheckState, DoctorReply, HostCheck};

use crate::output::Style;
use crate::table::{Align, Cell, Table, Tone};

/// The whole output.
pub(crate) fn render(reply: &DoctorReply, style: Style) -> String {
    let mut text = table(&reply.checks, style);
    if reply.healthy {
        text.push_str("\nall is well\n");
    }
    text
}

/// Checks as a table, remedies below their line.
pub(crate) fn table(checks: &[HostCheck], style: Style) -> String {
    let mut table = Table::new(&[("CHECK", Align::Left), ("STATE", Align::Left), ("FOUND", Align::Left)]);
    for check in checks {
        let tone = match check.state {
            CheckState::Ok => Tone::Good,
            CheckState::Warning | CheckState::Unknown => Tone::Warn,
            CheckState::Failed => Tone::Bad,
        };
        let state = Cell::toned(check.state.as_str(), tone);
        table.row(vec![check.name.clone().into(), state, check.message.clone().into()]);
        if let Some(remedy) = &check.remedy {
            table.note(format!("remedy: {remedy}"), Tone::Warn);
        }
    }
    table.render(style.painter)
}
