//! Results as Markdown: the table with ratios and goals, what one more costs, and the part of a document between marks.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use crate::daemon::Name;
use crate::plot;
use crate::results::{Figure, Results, Runs};
use crate::work::{FURTHER_PEERS, Goal, Measure, Work};

/// What a document has around the part that is written by this program.
const BEGIN: &str =
    "<!-- peers-bench: begin. Written by scripts/bench-peers --write; changes by hand are lost. -->";
const END: &str = "<!-- peers-bench: end -->";
/// The plots and the file of runs are in this directory beside the document.
const BESIDE: &str = "performance";
/// Every single run.
const RUNS: &str = "runs.csv";

/// Works whose measures are costs of one more, with a table of their own.
const GROWTH: [Work; 3] = [Work::I, Work::J, Work::K];
/// Ratios that are shown, with what they are called.
const RATIOS: [(Figure, &str); 3] = [(Figure::Wall, "wall"), (Figure::Cpu, "CPU"), (Figure::Peak, "RSS")];
const LATENCY_RATIOS: [(Figure, &str); 2] = [(Figure::P50, "p50"), (Figure::P99, "p99")];

fn is_growth(measure: &Measure) -> bool {
    GROWTH.iter().any(|work| measure.is_of(*work))
}

/// Measures that are about single changes: their wall and CPU times are those of the run, and say nothing.
pub(crate) fn is_latency(measure: &Measure) -> bool {
    [Work::C, Work::G].iter().any(|work| measure.is_of(*work))
}

/// All tables.
pub(crate) fn markdown(results: &Results, conditions: &str) -> String {
    let mut text = format!("{conditions}\n\n");
    text.push_str(
        "| work | daemon | runs | wall s | CPU s | peak RSS MB | p50 ms | p99 ms | longest ms | against BIRD 2 | goals |\n\
         |---|---|---:|---:|---:|---:|---:|---:|---:|---|---|\n",
    );
    for measure in Measure::ALL.iter().filter(|measure| !is_growth(measure)) {
        for name in results.daemons() {
            if let Some(runs) = results.runs(measure, name) {
                row(measure, name, runs, results, &mut text);
            }
        }
    }
    growth(results, &mut text);
    text
}

fn row(measure: &Measure, name: Name, runs: &Runs, results: &Results, text: &mut String) {
    let medians = runs.medians();
    let shown = |figure: Figure, digits: usize| {
        medians.get(&figure).map_or_else(String::new, |value| format!("{value:.digits$}"))
    };
    let all = runs.done.len() + runs.failed.len();
    let times = if is_latency(measure) {
        [String::new(), String::new()]
    } else {
        [shown(Figure::Wall, 3), shown(Figure::Cpu, 2)]
    };
    let last = match runs.failed.first() {
        Some(why) => format!("{} of {all} not done: {}", runs.failed.len(), cell(why)),
        None => goals(measure, name, results),
    };
    writeln!(
        text,
        "| {} | {} | {} | {} | {} | {} | {} | {} | {} | {} | {last} |",
        measure.title,
        name.title(),
        runs.done.len(),
        times[0],
        times[1],
        shown(Figure::Peak, 0),
        shown(Figure::P50, 3),
        shown(Figure::P99, 3),
        shown(Figure::Max, 3),
        ratios(measure, name, results),
    )
    .ok();
}

/// One line that does not break a table.
fn cell(text: &str) -> String {
    text.replace('|', "/").split_whitespace().collect::<Vec<_>>().join(" ").chars().take(100).collect()
}

fn ratios(measure: &Measure, name: Name, results: &Results) -> String {
    if name == Name::Bird {
        return String::new();
    }
    let kinds = if is_latency(measure) { &LATENCY_RATIOS[..] } else { &RATIOS[..] };
    let shown = kinds.iter().filter_map(|(figure, title)| {
        let ratio = ratio(measure, name, Name::Bird, *figure, results)?;
        Some(format!("{title} {ratio:.2}"))
    });
    shown.collect::<Vec<_>>().join(", ")
}

fn ratio(measure: &Measure, name: Name, other: Name, figure: Figure, results: &Results) -> Option<f64> {
    let theirs = results.median(measure, other, figure)?;
    (theirs > 0.0).then_some(results.median(measure, name, figure)? / theirs)
}

fn goals(measure: &Measure, name: Name, results: &Results) -> String {
    if name != Name::BgpdRs {
        return String::new();
    }
    let title = |figure: Figure| {
        let known = RATIOS.iter().chain(&LATENCY_RATIOS).find(|(other, _)| *other == figure);
        known.map_or("longest", |(_, title)| title)
    };
    let shown = measure.goals.iter().filter_map(|goal| {
        let (value, most, words) = match *goal {
            Goal::OfBird(figure, most) => (
                ratio(measure, name, Name::Bird, figure, results)?,
                most,
                format!("{} {most} x", title(figure)),
            ),
            Goal::OfFrr(figure, most) => {
                let value = ratio(measure, name, Name::Frr, figure, results)?;
                (value, most, format!("{} {most} x of FRR ({value:.2})", title(figure)))
            }
            Goal::OfRequests(figure, most) => {
                let value = ratio(measure, name, Name::Requests, figure, results)?;
                (value, most, format!("{} {most} x of requests alone ({value:.2})", title(figure)))
            }
            Goal::AtMost(figure, most) => {
                (results.median(measure, name, figure)?, most, format!("{} {most} ms", title(figure)))
            }
        };
        Some(format!("{words}: {}", if value <= most { "met" } else { "missed" }))
    });
    shown.collect::<Vec<_>>().join(", ")
}

fn growth(results: &Results, text: &mut String) {
    let measures: Vec<_> = Measure::ALL.iter().filter(|measure| is_growth(measure)).collect();
    let mut daemons = results.daemons();
    daemons.retain(|name| name.is_daemon());
    let some = |measure: &&&Measure| daemons.iter().any(|name| results.runs(measure, *name).is_some());
    if !measures.iter().any(|measure| some(&measure)) {
        return;
    }
    text.push_str(
        "\n| one feeder or more -> 1 | daemon | runs | wall s | CPU µs a route | RSS octets a route | RSS MB in the end |\n\
         |---|---|---:|---:|---:|---:|---:|\n",
    );
    for measure in measures.iter().filter(some) {
        for name in &daemons {
            let Some(runs) = results.runs(measure, *name) else { continue };
            let medians = runs.medians();
            let shown = |figure: Figure, digits: usize| match medians.get(&figure) {
                Some(value) => format!("{value:.digits$}"),
                None => cell(runs.failed.first().map_or("", String::as_str)),
            };
            writeln!(
                text,
                "| {} | {} | {} | {} | {} | {} | {} |",
                measure.title,
                name.title(),
                runs.done.len(),
                shown(Figure::Wall, 3),
                shown(Figure::CpuPerRoute, 2),
                shown(Figure::OctetsPerRoute, 0),
                shown(Figure::Resident, 0),
            )
            .ok();
        }
    }
    differences(results, &daemons, text);
}

/// What follows from two rows of the growth table.
fn differences(results: &Results, daemons: &[Name], text: &mut String) {
    text.push_str(
        "\n| by differences of these rows | CPU of a route, 4 M against 10 k | RSS octets a further path, own attributes | \
         same attributes | RSS KB a further peer |\n|---|---:|---:|---:|---:|\n",
    );
    for name in daemons {
        let of = |key: &str, figure: Figure| results.median(Measure::named(key), *name, figure);
        let shown = |value: Option<f64>, digits: usize| {
            value.map_or_else(String::new, |value| format!("{value:.digits$}"))
        };
        let flat = of("i-4m", Figure::CpuPerRoute).zip(of("i-10k", Figure::CpuPerRoute));
        // The RSS that came for eight paths, less that for one, over seven.
        let further = |key| {
            let eight = of(key, Figure::OctetsPerRoute)? * 8.0;
            Some((eight - of("j-1", Figure::OctetsPerRoute)?) / 7.0)
        };
        let peers = of("k", Figure::Resident).zip(of("j-1", Figure::Resident));
        let cells = [
            shown(flat.map(|(large, small)| large / small), 2),
            shown(further("j-8"), 0),
            shown(further("j-8-shared"), 0),
            shown(peers.map(|(many, one)| (many - one) * 1024.0 / FURTHER_PEERS as f64), 0),
        ];
        if cells.iter().any(|cell| !cell.is_empty()) {
            writeln!(text, "| {} | {} |", name.title(), cells.join(" | ")).ok();
        }
    }
}

/// Puts tables and plots into a document, between the marks that it has, and every run into a file beside it. With
/// `keep`, what was not measured now is taken from that file.
pub(crate) fn write(document: &Path, mut results: Results, conditions: &str, keep: bool) -> Result<()> {
    let beside = document.parent().unwrap_or(Path::new(".")).join(BESIDE);
    fs::create_dir_all(&beside).with_context(|| beside.display().to_string())?;
    let runs = beside.join(RUNS);
    if keep && runs.exists() {
        results.complete(Results::read(&runs)?);
    }
    results.write(&runs)?;
    let before = if keep { fs::read_to_string(document).unwrap_or_default() } else { String::new() };
    let mut part = markdown(&results, conditions_of(&before).unwrap_or(conditions));
    for (file, title) in plot::write(&results, &beside)? {
        write!(part, "\n![{title}]({BESIDE}/{file})\n").ok();
    }
    fs::write(document, with_part(document, &part)?).with_context(|| document.display().to_string())
}

/// Whether [`write()`] will find its place in a document: better known before an hour of measuring than after it.
///
/// # Errors
/// It cannot be read, or has no such place.
pub(crate) fn check(document: &Path) -> Result<()> {
    with_part(document, "").map(drop)
}

fn with_part(document: &Path, part: &str) -> Result<String> {
    let name = document.display();
    let text = fs::read_to_string(document)
        .with_context(|| format!("{name}: --write wants a document that is there"))?;
    between(&text, part).with_context(|| {
        format!("{name}: no place for the tables; put these two lines into it: {BEGIN} {END}")
    })
}

/// Under which conditions most of a document was measured: the first line of its tables.
fn conditions_of(text: &str) -> Option<&str> {
    text.split_once(BEGIN)?.1.split_once(END)?.0.lines().find(|line| !line.trim().is_empty())
}

/// The text with what is between the marks exchanged.
fn between(text: &str, part: &str) -> Option<String> {
    let (before, rest) = text.split_once(BEGIN)?;
    let (_, after) = rest.split_once(END)?;
    Some(format!("{before}{BEGIN}\n\n{}\n\n{END}{after}", part.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::Figures;

    fn results() -> Results {
        let mut results = Results::default();
        for (name, wall) in [(Name::BgpdRs, 1.0), (Name::Bird, 4.0)] {
            let figures = Figures::from([(Figure::Wall, wall), (Figure::Cpu, 2.0), (Figure::Peak, 100.0)]);
            results.add(Measure::named("a"), name, figures);
            for (key, route) in [("i-10k", 2.0), ("i-4m", 3.0), ("j-1", 100.0), ("j-8", 30.0)] {
                let cost = [(Figure::CpuPerRoute, route), (Figure::OctetsPerRoute, route)];
                results.add(Measure::named(key), name, Figures::from(cost));
            }
        }
        results.add_failure(Measure::named("a"), Name::Frr, "after 2s | the receiver\nholds nothing".into());
        results
    }

    #[test]
    fn what_is_kept_keeps_its_conditions() {
        let document = format!("Page.\n{BEGIN}\nold\n{END}\n");
        let text = between(&document, &markdown(&results(), "Here.")).unwrap();
        assert_eq!(conditions_of(&text), Some("Here."));
        assert_eq!(conditions_of("no marks"), None);
    }

    #[test]
    fn ratios_goals_failures_and_differences_are_shown() {
        let text = markdown(&results(), "Here.");
        let ours = "| whole table, 1 -> 1 | bgpd-rs | 1 | 1.000 | 2.00 | 100 |  |  |  | wall 0.25, CPU 1.00, RSS 1.00 | \
                    wall 0.25 x: met, CPU 0.25 x: missed, RSS 0.5 x: missed |";
        assert!(text.contains(ours), "{text}");
        assert!(text.contains("1 of 1 not done: after 2s / the receiver holds nothing |"), "{text}");
        assert!(text.contains("| bgpd-rs | 1.50 | 20 |  |  |"), "{text}");
    }

    #[test]
    fn a_document_keeps_what_is_outside_of_the_marks() {
        let dir = std::env::temp_dir().join(format!("peers-bench-report-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        let document = dir.join("performance.md");
        fs::write(&document, format!("before\n{BEGIN}\nOUTDATED\n{END}\nafter\n")).unwrap();
        write(&document, results(), "Here.", false).unwrap();
        let once = fs::read_to_string(&document).unwrap();
        assert!(once.starts_with("before\n") && once.ends_with("\nafter\n") && !once.contains("OUTDATED"));
        assert!(once.contains("(performance/time.svg)"), "{once}");
        assert!(fs::read_to_string(dir.join("performance/time.svg")).unwrap().contains("whole table"));

        write(&document, Results::default(), "Here.", true).unwrap();
        let kept = fs::read_to_string(&document).unwrap();
        assert!(kept.contains("| whole table, 1 -> 1 | BIRD 2 | 1 | 4.000 |"), "{kept}");
        check(&document).unwrap();
        fs::write(&document, "no marks").unwrap();
        assert!(check(&document).unwrap_err().to_string().contains("put these two lines into it"));
        fs::remove_dir_all(&dir).unwrap();
        assert!(check(&document).unwrap_err().to_string().contains("a document that is there"));
    }
}
