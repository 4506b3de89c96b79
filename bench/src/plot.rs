//! Plots of the results as SVG, drawn by hand: bars and lines are all they need.

use crate::ground::Stage;
use crate::report::{Line, Results};
use crate::{Outcome, budgets};
use clap::Args;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

#[derive(Clone, Debug, Args)]
pub(crate) struct Plot {
    /// The results, JSON lines
    results: PathBuf,
    /// Where the plots go
    #[arg(long, default_value = "bench/results")]
    out: PathBuf,
}

impl Plot {
    pub(crate) fn execute(self) -> Outcome<()> {
        let lines = Results::read(&self.results)?;
        crate::show(&budgets::table(&lines));
        let plots = draw(&lines, &self.out)?;
        crate::say(&plots.join(", "));
        Ok(())
    }
}

const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 300.0;
const LEFT: f64 = 60.0;
const BOTTOM: f64 = 50.0;
const TOP: f64 = 40.0;
const OURS: &str = "#1769aa";
const BARE: &str = "#b0b7bf";

/// Draws what there are lines for; the files.
pub(crate) fn draw(lines: &[Line], folder: &Path) -> Outcome<Vec<String>> {
    let mut files = Vec::new();
    for (name, svg) in [
        ("cost-by-stage", stages(lines)?),
        ("latency-by-load", latencies(lines)?),
        ("cost-by-backlog", backlogs(lines)?),
    ] {
        if let Some(svg) = svg {
            let path = folder.join(format!("{name}.svg"));
            std::fs::write(&path, svg)?;
            files.push(path.display().to_string());
        }
    }
    Ok(files)
}

/// One group of bars or points, with what stands under it.
struct Group {
    label: String,
    values: Vec<f64>,
}

/// A frame with a title, a scale from zero, and one name and colour for each series.
struct Frame {
    svg: String,
    top: f64,
}

impl Frame {
    fn new(title: &str, unit: &str, series: &[(&str, &str)], most: f64) -> Outcome<Self> {
        let top = nice(most);
        let mut svg = format!(
            r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" font-size="12"><rect width="{WIDTH}" height="{HEIGHT}" fill="white"/><text x="{LEFT}" y="18" font-size="14">{title}</text>"#
        );
        for step in 0..=4 {
            let value = top * f64::from(step) / 4.0;
            let y = HEIGHT - BOTTOM - (HEIGHT - BOTTOM - TOP) * f64::from(step) / 4.0;
            write!(
                svg,
                r##"<line x1="{LEFT}" x2="{WIDTH}" y1="{y:.1}" y2="{y:.1}" stroke="#e4e7ea"/><text x="{:.0}" y="{:.1}" text-anchor="end" fill="#555">{}</text>"##,
                LEFT - 6.0,
                y + 4.0,
                short(value)
            )?;
        }
        write!(svg, r##"<text x="{LEFT}" y="33" fill="#555">{unit}</text>"##)?;
        for (at, (name, colour)) in series.iter().enumerate() {
            let x = WIDTH - 150.0 * (series.len() - at) as f64;
            write!(
                svg,
                r##"<rect x="{x}" y="24" width="10" height="10" fill="{colour}"/><text x="{:.0}" y="33" fill="#333">{name}</text>"##,
                x + 14.0
            )?;
        }
        Ok(Self { svg, top })
    }

    fn y(&self, value: f64) -> f64 {
        HEIGHT - BOTTOM - (HEIGHT - BOTTOM - TOP) * (value / self.top).clamp(0.0, 1.0)
    }

    fn bars(mut self, groups: &[Group], colours: &[&str]) -> Outcome<String> {
        let slot = (WIDTH - LEFT) / groups.len().max(1) as f64;
        let width = (slot * 0.7 / colours.len() as f64).min(60.0);
        for (at, group) in groups.iter().enumerate() {
            let middle = LEFT + slot * (at as f64 + 0.5);
            for (nth, (value, colour)) in group.values.iter().zip(colours).enumerate() {
                let x = middle + width * (nth as f64 - colours.len() as f64 / 2.0);
                let y = self.y(*value);
                write!(
                    self.svg,
                    r##"<rect x="{x:.1}" y="{y:.1}" width="{:.1}" height="{:.1}" fill="{colour}"/><text x="{:.1}" y="{:.1}" text-anchor="middle" font-size="11">{}</text>"##,
                    width - 3.0,
                    HEIGHT - BOTTOM - y,
                    x + width / 2.0,
                    y - 4.0,
                    short(*value)
                )?;
            }
            write!(
                self.svg,
                r#"<text x="{middle:.1}" y="{:.0}" text-anchor="middle">{}</text>"#,
                HEIGHT - BOTTOM + 18.0,
                group.label
            )?;
        }
        Ok(self.svg + "</svg>\n")
    }
}

/// A round number that is no smaller.
fn nice(most: f64) -> f64 {
    let most = most.max(f64::MIN_POSITIVE);
    let base = 10_f64.powf(most.log10().floor());
    [1.0, 2.0, 4.0, 5.0, 8.0, 10.0].into_iter().map(|step| step * base).find(|step| *step >= most).unwrap_or(most)
}

fn short(value: f64) -> String {
    match value {
        value if value >= 100.0 => format!("{value:.0}"),
        value if value >= 10.0 => format!("{value:.1}"),
        value => format!("{value:.2}"),
    }
}

fn most(groups: &[Group]) -> f64 {
    groups.iter().flat_map(|group| &group.values).copied().fold(0.0, f64::max) * 1.08
}

fn stages(lines: &[Line]) -> Outcome<Option<String>> {
    let of_stage = |line: &Line| {
        let Line::Stage(line) = line else { return None };
        let label = format!("{}, skew {}", line.stage, line.skew);
        let is_worker = Stage::ALL.iter().any(|stage| stage.worker() == line.stage);
        is_worker.then(|| Group { label, values: vec![line.cpu_s_per_million, line.bare_cpu_s_per_million] })
    };
    let groups: Vec<Group> = lines.iter().filter_map(of_stage).collect();
    let unit = "CPU-seconds per million changes";
    drawn("Cost by stage, beside a bare client loop", unit, &[("tidewater", OURS), ("bare loop", BARE)], &groups)
}

fn latencies(lines: &[Line]) -> Outcome<Option<String>> {
    let of = |name: &str| -> Vec<(f64, f64)> {
        let found = lines.iter().filter_map(|line| {
            let Line::Latency { loop_name, load, row, .. } = line else { return None };
            (loop_name == name).then_some((*load, row.p99))
        });
        found.collect()
    };
    let (ours, bare) = (of("sink"), of("bare"));
    let both = ours.iter().zip(&bare).map(|((load, ours), (_, bare))| {
        let label = format!("{:.0} % of the greatest speed", load * 100.0);
        Group { label, values: vec![*ours, *bare] }
    });
    let groups: Vec<Group> = both.collect();
    let series = [("tidewater", OURS), ("bare loop", BARE)];
    drawn("From the log to the row, 99 of 100 within", "milliseconds", &series, &groups)
}

fn backlogs(lines: &[Line]) -> Outcome<Option<String>> {
    let of_all = |line: &Line| {
        let Line::Backlog { stage, changes, cpu_s_per_million, .. } = line else { return None };
        (stage == "all three").then(|| Group { label: format!("{changes} changes"), values: vec![*cpu_s_per_million] })
    };
    let groups: Vec<Group> = lines.iter().filter_map(of_all).collect();
    let unit = "CPU-seconds per million changes, all three workers";
    drawn("The whole path by backlog", unit, &[("tidewater", OURS)], &groups)
}

fn drawn(title: &str, unit: &str, series: &[(&str, &str)], groups: &[Group]) -> Outcome<Option<String>> {
    if groups.is_empty() {
        return Ok(None);
    }
    let colours: Vec<&str> = series.iter().map(|(_, colour)| *colour).collect();
    Frame::new(title, unit, series, most(groups))?.bars(groups, &colours).map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scale_ends_at_a_round_number_above_all() {
        assert_eq!([7.3, 0.04, 120.0, 10.0].map(nice), [8.0, 0.04, 200.0, 10.0]);
    }

    #[test]
    fn a_plot_without_figures_is_not_drawn() {
        let folder = std::env::temp_dir();
        assert!(draw(&[Line::Load { changes: 1, cpu_s_per_million: 1.0 }], &folder).unwrap().is_empty());
    }
}
