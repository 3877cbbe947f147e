//! What was measured: figures of single runs, their medians, and the file in which every run is kept.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use clap::ValueEnum as _;
use serde::{Deserialize, Serialize};

use crate::daemon::Name;
use crate::work::Measure;

/// A kind of figure, in the order of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub(crate) enum Figure {
    /// Seconds from the first octet sent to the work done.
    Wall,
    /// Seconds of CPU of the daemon's processes.
    Cpu,
    /// Peak of resident memory, in 2^20 octets.
    Peak,
    /// Resident memory when the work is done, in 2^20 octets.
    Resident,
    /// Of single changes: the median, in milliseconds.
    P50,
    /// The 90th percentile.
    P90,
    /// The 99th percentile.
    P99,
    /// The longest.
    Max,
    /// Microseconds of CPU for one route received.
    CpuPerRoute,
    /// Octets of resident memory that came for one route received.
    OctetsPerRoute,
}

/// The figures of one run, or medians of several.
pub(crate) type Figures = BTreeMap<Figure, f64>;

/// All runs of one measure by one daemon.
#[derive(Clone, Debug, Default)]
pub(crate) struct Runs {
    /// Those that came to their end.
    pub(crate) done: Vec<Figures>,
    /// Why the others did not.
    pub(crate) failed: Vec<String>,
}

impl Runs {
    /// Medians of each figure; of an even number of runs the middle between the two in the middle.
    pub(crate) fn medians(&self) -> Figures {
        let mut values: BTreeMap<Figure, Vec<f64>> = BTreeMap::new();
        for (figure, value) in self.done.iter().flatten() {
            values.entry(*figure).or_default().push(*value);
        }
        values.into_iter().filter_map(|(figure, values)| Some((figure, median(values)?))).collect()
    }
}

fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_unstable_by(f64::total_cmp);
    let upper = *values.get(values.len() / 2)?;
    let lower = *values.get((values.len() - 1) / 2)?;
    Some((lower + upper) / 2.0)
}

/// The percentile of sorted values: the smallest that so many per cent do not exceed.
pub(crate) fn percentile<T: Copy>(sorted: &[T], percent: usize) -> Option<T> {
    sorted.get((sorted.len() * percent).div_ceil(100).max(1) - 1).copied()
}

/// Every run of every measure and daemon.
#[derive(Clone, Debug, Default)]
pub(crate) struct Results {
    runs: BTreeMap<(usize, Name), Runs>,
}

/// One figure as the file has it.
#[derive(Debug, Serialize, Deserialize)]
struct Line {
    measure: String,
    daemon: String,
    run: usize,
    figure: String,
    value: f64,
}

impl Results {
    /// Takes the figures of a run.
    pub(crate) fn add(&mut self, measure: &'static Measure, name: Name, figures: Figures) {
        self.entry(measure, name).done.push(figures);
    }

    /// Takes note of a run that did not come to its end.
    pub(crate) fn add_failure(&mut self, measure: &'static Measure, name: Name, why: String) {
        self.entry(measure, name).failed.push(why);
    }

    /// Whether a run did not come to its end.
    pub(crate) fn has_failed(&self, measure: &Measure, name: Name) -> bool {
        self.runs(measure, name).is_some_and(|runs| !runs.failed.is_empty())
    }

    fn entry(&mut self, measure: &'static Measure, name: Name) -> &mut Runs {
        self.runs.entry((measure.place(), name)).or_default()
    }

    /// The runs of one measure by one daemon.
    pub(crate) fn runs(&self, measure: &Measure, name: Name) -> Option<&Runs> {
        self.runs.get(&(measure.place(), name))
    }

    /// A median, if there is one.
    pub(crate) fn median(&self, measure: &Measure, name: Name, figure: Figure) -> Option<f64> {
        self.runs(measure, name)?.medians().get(&figure).copied()
    }

    /// Who has runs.
    pub(crate) fn daemons(&self) -> Vec<Name> {
        let present = |name: &Name| self.runs.keys().any(|(_, other)| other == name);
        Name::value_variants().iter().copied().filter(present).collect()
    }

    /// Takes what is missing here from older results.
    pub(crate) fn complete(&mut self, older: Self) {
        for (key, runs) in older.runs {
            self.runs.entry(key).or_insert(runs);
        }
    }

    /// Writes every run as a line for each figure.
    pub(crate) fn write(&self, path: &Path) -> Result<()> {
        let mut file = csv::Writer::from_path(path).with_context(|| path.display().to_string())?;
        for ((place, name), runs) in &self.runs {
            let Some(measure) = Measure::ALL.get(*place) else { continue };
            for (run, figures) in runs.done.iter().enumerate() {
                for (figure, value) in figures {
                    file.serialize(Line {
                        measure: measure.key.to_owned(),
                        daemon: word(name),
                        run: run + 1,
                        figure: word(figure),
                        value: (value * 1e4).round() / 1e4,
                    })?;
                }
            }
        }
        file.flush()?;
        Ok(())
    }

    /// Reads what [`Results::write`] has written.
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let mut results = Self::default();
        let mut file = csv::Reader::from_path(path).with_context(|| path.display().to_string())?;
        for line in file.deserialize() {
            let line: Line = line.with_context(|| path.display().to_string())?;
            let measure = Measure::ALL.iter().find(|measure| measure.key == line.measure);
            let measure = measure.with_context(|| format!("no measure {}", line.measure))?;
            let name = Name::from_str(&line.daemon, true).map_err(anyhow::Error::msg)?;
            let figure = Figure::from_str(&line.figure, true).map_err(anyhow::Error::msg)?;
            let done = &mut results.entry(measure, name).done;
            ensure!(
                (1..=done.len() + 1).contains(&line.run),
                "run {} of {} is out of order",
                line.run,
                line.measure
            );
            if line.run > done.len() {
                done.push(Figures::new());
            }
            if let Some(figures) = done.get_mut(line.run - 1) {
                figures.insert(figure, line.value);
            }
        }
        Ok(results)
    }
}

/// What the command line and the file call it.
pub(crate) fn word(value: &impl clap::ValueEnum) -> String {
    value.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figures(wall: f64) -> Figures {
        Figures::from([(Figure::Wall, wall), (Figure::P99, 2.0 * wall)])
    }

    #[test]
    fn medians_are_in_the_middle() {
        let of = |walls: &[f64]| {
            let runs = Runs { done: walls.iter().map(|wall| figures(*wall)).collect(), failed: Vec::new() };
            runs.medians().get(&Figure::P99).copied()
        };
        assert_eq!(of(&[3.0, 1.0, 2.0]), Some(4.0));
        assert_eq!(of(&[4.0, 1.0, 2.0, 3.0]), Some(5.0));
        assert_eq!(of(&[]), None);
        assert_eq!(percentile(&[1, 2, 3, 4], 50), Some(2));
        assert_eq!(percentile(&[1, 2, 3, 4], 99), Some(4));
        assert_eq!(percentile::<u32>(&[], 99), None);
    }

    #[test]
    fn what_is_written_reads_the_same_and_completes() {
        let path = std::env::temp_dir().join(format!("peers-bench-results-{}.csv", std::process::id()));
        let [first, second, ..] = Measure::ALL else { panic!("two measures") };
        let mut results = Results::default();
        for wall in [1.0, 2.5] {
            results.add(first, Name::Bird, figures(wall));
        }
        results.add(second, Name::BgpdRs, figures(0.25));
        results.write(&path).unwrap();
        let again = Results::read(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        assert_eq!(again.runs(first, Name::Bird).unwrap().done, [figures(1.0), figures(2.5)]);
        assert_eq!(again.daemons(), [Name::BgpdRs, Name::Bird]);

        let mut newer = Results::default();
        newer.add(first, Name::Bird, figures(7.0));
        newer.complete(again);
        assert_eq!(newer.median(first, Name::Bird, Figure::Wall), Some(7.0));
        assert_eq!(newer.median(second, Name::BgpdRs, Figure::Wall), Some(0.25));
    }
}
