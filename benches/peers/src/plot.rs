//! Plots of the medians as SVG: bars for each work and daemon, lines for what grows with the table.

use std::ops::Range;
use std::path::Path;

use anyhow::{Result, anyhow};
use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use crate::daemon::Name;
use crate::report::is_latency;
use crate::results::{Figure, Results};
use crate::work::Measure;

const WIDTH: u32 = 900;
/// Pixels of one bar, and of what stands above and below all of them.
const BAR: u32 = 14;
const AROUND: u32 = 110;
/// Pixels for the names of the works.
const NAMES: u32 = 330;

/// One bar chart: the file, its title, the figures with what is added to a work's name.
struct Bars {
    file: &'static str,
    title: &'static str,
    figures: &'static [(Figure, &'static str)],
    of: fn(&Measure) -> bool,
}

/// Measures of the main table that are about a load.
fn is_load(measure: &Measure) -> bool {
    !is_latency(measure) && !is_growth(measure)
}

fn is_growth(measure: &Measure) -> bool {
    measure.key.starts_with(['i', 'j', 'k'])
}

fn is_about_single_routes(measure: &Measure) -> bool {
    is_latency(measure) || measure.key.starts_with('h')
}

const BARS: &[Bars] = &[
    Bars { file: "time.svg", title: "Wall time, seconds", figures: &[(Figure::Wall, "")], of: is_load },
    Bars { file: "cpu.svg", title: "CPU time, seconds", figures: &[(Figure::Cpu, "")], of: is_load },
    Bars {
        file: "memory.svg",
        title: "Peak resident memory, MB",
        figures: &[(Figure::Peak, "")],
        of: is_load,
    },
    Bars {
        file: "latency.svg",
        title: "Time of a single route, milliseconds",
        figures: &[(Figure::P50, ", p50"), (Figure::P99, ", p99"), (Figure::Max, ", longest")],
        of: is_about_single_routes,
    },
];

/// Charts over the size of the table: the file, its title, the figure.
const LINES: [(&str, &str, Figure); 2] = [
    ("growth-cpu.svg", "CPU of a route, microseconds, by prefixes", Figure::CpuPerRoute),
    ("growth-memory.svg", "Resident memory of a route, octets, by prefixes", Figure::OctetsPerRoute),
];
/// Prefixes of the tables that grow.
const SIZES: [(&str, f64); 4] = [("i-10k", 1e4), ("i-100k", 1e5), ("i-1m", 1e6), ("i-4m", 4e6)];

const fn color(name: Name) -> RGBColor {
    match name {
        Name::BgpdRs => RGBColor(0xc4, 0x3c, 0x2c),
        Name::Bird => RGBColor(0x2c, 0x6e, 0xb5),
        Name::Frr => RGBColor(0x3f, 0x8f, 0x4f),
        Name::Openbgpd => RGBColor(0xd9, 0x9a, 0x1c),
        Name::Gobgp => RGBColor(0x7a, 0x5a, 0xa6),
        Name::Relay | Name::Requests => RGBColor(0x88, 0x88, 0x88),
    }
}

/// Writes the charts for which there are figures into a directory; the names and titles of those written.
pub(crate) fn write(results: &Results, dir: &Path) -> Result<Vec<(&'static str, &'static str)>> {
    let mut written = Vec::new();
    for chart in BARS {
        let groups = groups(results, chart);
        if !groups.is_empty() {
            let drawn = bars(&dir.join(chart.file), chart.title, &groups);
            drawn.map_err(|error| anyhow!("{}: {error}", chart.file))?;
            written.push((chart.file, chart.title));
        }
    }
    for (file, title, figure) in LINES {
        let curves = curves(results, figure);
        if !curves.is_empty() {
            lines(&dir.join(file), title, &curves).map_err(|error| anyhow!("{file}: {error}"))?;
            written.push((file, title));
        }
    }
    Ok(written)
}

/// A name and the bars that belong to it.
type Group = (String, Vec<(Name, f64)>);

fn groups(results: &Results, chart: &Bars) -> Vec<Group> {
    let measures = Measure::ALL.iter().filter(|measure| (chart.of)(measure));
    let each =
        measures.flat_map(|measure| chart.figures.iter().map(move |(figure, more)| (measure, figure, more)));
    each.filter_map(|(measure, figure, more)| {
        let value = |name: Name| Some((name, results.median(measure, name, *figure)?));
        let bars: Vec<_> = results.daemons().into_iter().filter_map(value).collect();
        (!bars.is_empty()).then(|| (format!("{}{more}", measure.title), bars))
    })
    .collect()
}

/// Powers of ten around all values.
fn decades(values: impl Iterator<Item = f64>) -> Range<f64> {
    let (low, high) = values
        .filter(|value| *value > 0.0)
        .fold((f64::MAX, f64::MIN), |(low, high), value| (low.min(value), high.max(value)));
    if low > high {
        return 0.1..1.0;
    }
    // A bar that is as long as nothing cannot be seen.
    10_f64.powf((low * 0.7).log10().floor())..10_f64.powf((high * 1.05).log10().ceil())
}

type Drawn = std::result::Result<(), Box<dyn std::error::Error>>;

fn bars(path: &Path, title: &str, groups: &[Group]) -> Drawn {
    let rows: usize = groups.iter().map(|(_, bars)| bars.len() + 1).sum();
    let rows = u32::try_from(rows)?;
    let root = SVGBackend::new(path, (WIDTH, rows * BAR + AROUND)).into_drawing_area();
    root.fill(&WHITE)?;
    let range = decades(groups.iter().flat_map(|(_, bars)| bars.iter().map(|(_, value)| *value)));
    let low = range.start;
    let mut chart = ChartBuilder::on(&root)
        .caption(title, ("sans-serif", 18))
        .margin(10)
        .x_label_area_size(30)
        .y_label_area_size(NAMES)
        .build_cartesian_2d(range.log_scale(), f64::from(rows)..0.0)?;
    chart.configure_mesh().disable_y_mesh().disable_y_axis().x_label_style(("sans-serif", 12)).draw()?;
    let mut at = 0.5;
    for (name, bars) in groups {
        let middle = at + bars.len() as f64 / 2.0;
        let (x, y) = chart.backend_coord(&(low, middle));
        let style = ("sans-serif", 13).into_text_style(&root).pos(Pos::new(HPos::Right, VPos::Center));
        root.draw(&Text::new(name.clone(), (x - 8, y), style))?;
        for (name, value) in bars {
            let bar = Rectangle::new([(low, at), (value.max(low), at + 0.85)], color(*name).filled());
            chart.draw_series(std::iter::once(bar))?;
            let (x, y) = chart.backend_coord(&(value.max(low), at + 0.45));
            let style = ("sans-serif", 10).into_text_style(&root).pos(Pos::new(HPos::Left, VPos::Center));
            root.draw(&Text::new(short(*value), (x + 4, y), style))?;
            at += 1.0;
        }
        at += 1.0;
    }
    legend(&root, groups.iter().flat_map(|(_, bars)| bars.iter().map(|(name, _)| *name)))?;
    root.present()?;
    Ok(())
}

/// Three digits are enough beside a bar.
fn short(value: f64) -> String {
    let digits = if value >= 100.0 {
        0
    } else if value >= 10.0 {
        1
    } else if value >= 1.0 {
        2
    } else {
        3
    };
    format!("{value:.digits$}")
}

fn legend<'a>(root: &DrawingArea<SVGBackend<'a>, Shift>, names: impl Iterator<Item = Name>) -> Drawn {
    let mut names: Vec<Name> = names.collect();
    names.sort_unstable();
    names.dedup();
    let mut x = 20;
    for name in names {
        root.draw(&Rectangle::new([(x, 14), (x + 10, 24)], color(name).filled()))?;
        let style = ("sans-serif", 12).into_text_style(root).pos(Pos::new(HPos::Left, VPos::Center));
        root.draw(&Text::new(name.title(), (x + 14, 19), style))?;
        x += 24 + 8 * i32::try_from(name.title().len())?;
    }
    Ok(())
}

/// A daemon and its points.
type Curve = (Name, Vec<(f64, f64)>);

fn curves(results: &Results, figure: Figure) -> Vec<Curve> {
    let curve = |name: Name| {
        let points = SIZES
            .iter()
            .filter_map(|(key, size)| Some((*size, results.median(Measure::named(key), name, figure)?)));
        let points: Vec<_> = points.collect();
        (!points.is_empty()).then_some((name, points))
    };
    results.daemons().into_iter().filter_map(curve).collect()
}

fn lines(path: &Path, title: &str, curves: &[Curve]) -> Drawn {
    let root = SVGBackend::new(path, (WIDTH, 400)).into_drawing_area();
    root.fill(&WHITE)?;
    let values = curves.iter().flat_map(|(_, points)| points.iter().map(|(_, value)| *value));
    let mut chart = ChartBuilder::on(&root)
        .caption(title, ("sans-serif", 18))
        .margin(20)
        .margin_right(60)
        .x_label_area_size(30)
        .y_label_area_size(70)
        .build_cartesian_2d((8e3..5e6).log_scale(), decades(values).log_scale())?;
    chart.configure_mesh().label_style(("sans-serif", 12)).draw()?;
    for (name, points) in curves {
        chart.draw_series(LineSeries::new(points.iter().copied(), color(*name).stroke_width(2)))?;
        chart.draw_series(points.iter().map(|point| Circle::new(*point, 3, color(*name).filled())))?;
    }
    legend(&root, curves.iter().map(|(name, _)| *name))?;
    root.present()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decades_hold_every_value() {
        assert_eq!(decades([0.2, 30.0].into_iter()), 0.1..100.0);
        assert_eq!(decades([100.0].into_iter()), 10.0..1000.0);
        assert_eq!(decades(std::iter::empty()), 0.1..1.0);
    }
}
