//! Three pictures as SVG: bit balance, the encoder's output per dimension, precision and recall.

use crate::model::Method;
use crate::output;
use crate::report::Evaluation;
use anyhow::{Result, anyhow};
use plotters::coord::Shift;
use plotters::prelude::*;
use std::path::{Path, PathBuf};

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

const INK: RGBColor = RGBColor(38, 38, 38);
const GREY: RGBColor = RGBColor(130, 130, 130);
const GRID: RGBColor = RGBColor(228, 228, 228);
const FONT: &str = "Helvetica, Arial, sans-serif";
/// Most dimensions drawn of a long code; more would not be told apart.
const MAX_RIDGES: usize = 32;

/// Okabe and Ito's colours, which stay apart under the common forms of colour blindness.
fn colour(method: Method) -> RGBColor {
    match method {
        Method::Sign => RGBColor(213, 94, 0),
        Method::SignReg => RGBColor(0, 114, 178),
        Method::Bihalf => RGBColor(0, 158, 115),
    }
}

/// A mark of its own for each method, so that points which coincide stay visible.
fn mark<'a, C: Clone + 'static>(
    method: Method,
    at: C,
    size: i32,
) -> DynElement<'static, SVGBackend<'a>, C> {
    let colour = colour(method);
    match method {
        Method::Sign => TriangleMarker::new(at, size + 1, colour.filled()).into_dyn(),
        Method::SignReg => Circle::new(at, size + 2, colour.stroke_width(2)).into_dyn(),
        Method::Bihalf => Circle::new(at, size, colour.filled()).into_dyn(),
    }
}

/// Names, sizes and contents of the pictures.
pub const PICTURES: [(&str, (u32, u32), Draw); 3] = [
    ("bit_balance.svg", (960, 520), bit_balance),
    ("encoder_output.svg", (1080, 640), encoder_output),
    ("precision_recall.svg", (960, 520), precision_recall),
];

/// Draws all pictures into `dir` and returns their paths.
pub fn draw(dir: &Path, subtitle: &str, evaluations: &[Evaluation]) -> Result<Vec<PathBuf>> {
    let mut paths = Vec::new();
    for (name, size, draw) in PICTURES {
        let mut svg = String::new();
        draw_svg(&mut svg, size, subtitle, evaluations, draw)
            .map_err(|error| anyhow!("cannot draw {name}: {error}"))?;
        let path = dir.join(name);
        output::write(&path, svg.as_bytes()).map_err(|why| anyhow!(why))?;
        paths.push(path);
    }
    Ok(paths)
}

type Drawn = Result<(), Box<dyn std::error::Error>>;
pub type Draw = fn(&Area, &str, &[Evaluation]) -> Drawn;

fn draw_svg(
    svg: &mut String,
    size: (u32, u32),
    subtitle: &str,
    evaluations: &[Evaluation],
    draw: Draw,
) -> Drawn {
    let root = SVGBackend::with_string(svg, size).into_drawing_area();
    root.fill(&WHITE)?;
    draw(&root, subtitle, evaluations)?;
    Ok(root.present()?)
}

/// Writes title and subtitle at the top left and returns the area below them.
fn titled<'a>(
    area: &Area<'a>,
    title: &str,
    subtitle: &str,
) -> Result<Area<'a>, Box<dyn std::error::Error>> {
    area.draw(&Text::new(title.to_owned(), (24, 18), (FONT, 22).into_font().color(&INK)))?;
    area.draw(&Text::new(subtitle.to_owned(), (24, 48), (FONT, 14).into_font().color(&GREY)))?;
    Ok(area.margin(78, 14, 14, 24))
}

/// Names the methods, each beside a line and a dot of its colour; `note` adds a figure.
fn legend(area: &Area, evaluations: &[Evaluation], note: impl Fn(&Evaluation) -> String) -> Drawn {
    for (row, evaluation) in evaluations.iter().enumerate() {
        let (y, colour) = (30 + 52 * row as i32, colour(evaluation.method));
        area.draw(&PathElement::new([(6, y), (34, y)], colour.stroke_width(2)))?;
        area.draw(&mark(evaluation.method, (20, y), 4))?;
        let label = evaluation.method.label();
        area.draw(&Text::new(label, (44, y - 9), (FONT, 16).into_font().color(&INK)))?;
        let note = note(evaluation);
        area.draw(&Text::new(note, (44, y + 11), (FONT, 13).into_font().color(&GREY)))?;
    }
    Ok(())
}

/// Share of +1 of each bit over the database, in increasing order.
fn bit_balance(root: &Area, subtitle: &str, evaluations: &[Evaluation]) -> Drawn {
    let body = titled(root, "How often each bit is +1 in the database", subtitle)?;
    let (plot, side) = body.split_horizontally(body.dim_in_pixel().0 - 190);
    let bits = evaluations.iter().map(|e| e.p_plus.len()).max().unwrap_or(1);
    let mut chart = ChartBuilder::on(&plot)
        .x_label_area_size(46)
        .y_label_area_size(58)
        .build_cartesian_2d(0.4..bits as f64 + 0.6, -0.02..1.02)?;
    chart
        .configure_mesh()
        .disable_x_mesh()
        .light_line_style(TRANSPARENT)
        .bold_line_style(GRID)
        .axis_style(GREY)
        .x_labels(bits.min(16))
        .y_labels(11)
        .x_label_formatter(&|x| if x.fract() == 0.0 { format!("{x:.0}") } else { String::new() })
        .y_label_formatter(&|y| format!("{y:.1}"))
        .x_desc("bit, in the order of P(+1)")
        .y_desc("P(+1)")
        .label_style((FONT, 13).into_font().color(&INK))
        .axis_desc_style((FONT, 15).into_font().color(&INK))
        .draw()?;
    let half = DashedLineSeries::new([(0.4, 0.5), (bits as f64 + 0.6, 0.5)], 5, 4, GREY.into());
    chart.draw_series(half)?;
    let radius = if bits <= 32 { 4 } else { 2 };
    for evaluation in evaluations {
        let colour = colour(evaluation.method);
        let mut shares = evaluation.p_plus.clone();
        shares.sort_by(f64::total_cmp);
        let points = || shares.iter().enumerate().map(|(j, &p)| (j as f64 + 1.0, p));
        chart.draw_series(LineSeries::new(points(), colour.mix(0.6).stroke_width(2)))?;
        chart.draw_series(points().map(|point| mark(evaluation.method, point, radius)))?;
    }
    legend(&side, evaluations, |e| format!("bit entropy {:.3}", e.bit_entropy))
}

/// Precision against recall, one point for each Hamming radius.
fn precision_recall(root: &Area, subtitle: &str, evaluations: &[Evaluation]) -> Drawn {
    let body = titled(root, "Precision and recall within each Hamming radius", subtitle)?;
    let (plot, side) = body.split_horizontally(body.dim_in_pixel().0 - 190);
    let mut chart = ChartBuilder::on(&plot)
        .x_label_area_size(46)
        .y_label_area_size(58)
        .build_cartesian_2d(-0.01..1.01, 0.0..1.0)?;
    chart
        .configure_mesh()
        .light_line_style(TRANSPARENT)
        .bold_line_style(GRID)
        .axis_style(GREY)
        .x_labels(6)
        .y_labels(6)
        .x_label_formatter(&|x| format!("{x:.1}"))
        .y_label_formatter(&|y| format!("{y:.1}"))
        .x_desc("recall")
        .y_desc("precision")
        .label_style((FONT, 13).into_font().color(&INK))
        .axis_desc_style((FONT, 15).into_font().color(&INK))
        .draw()?;
    let radius = if evaluations.iter().any(|e| e.curve.len() > 33) { 2 } else { 3 };
    for evaluation in evaluations {
        let colour = colour(evaluation.method);
        let points = || evaluation.curve.iter().map(|point| (point.recall, point.precision));
        chart.draw_series(LineSeries::new(points(), colour.stroke_width(2)))?;
        chart.draw_series(points().map(|point| mark(evaluation.method, point, radius)))?;
    }
    legend(&side, evaluations, |e| format!("expected mAP {:.3}", e.expected_map))
}

/// The distribution of the encoder's output, a ridge for each dimension and a panel for each
/// method; values above 0, which become +1, are darker.
fn encoder_output(root: &Area, subtitle: &str, evaluations: &[Evaluation]) -> Drawn {
    let title = "Encoder output before the hash layer, per dimension";
    let dims = evaluations.first().map_or(0, |e| e.p_plus.len());
    let shown = dims.min(MAX_RIDGES);
    let mut subtitle = format!("{subtitle}; darker: above 0, becomes +1");
    if shown < dims {
        subtitle += &format!("; the first {shown} of {dims} dimensions");
    }
    let body = titled(root, title, &subtitle)?;
    for (evaluation, panel) in evaluations.iter().zip(body.split_evenly((1, evaluations.len()))) {
        let (method, colour) = (evaluation.method, colour(evaluation.method));
        let histogram = &evaluation.outputs;
        let mut chart = ChartBuilder::on(&panel)
            .margin_right(14)
            .caption(method.label(), (FONT, 17).into_font().color(&colour))
            .x_label_area_size(46)
            .y_label_area_size(52)
            .build_cartesian_2d(histogram.lo..histogram.hi, 0.0..shown as f64 + 1.4)?;
        chart
            .configure_mesh()
            .disable_y_mesh()
            .light_line_style(TRANSPARENT)
            .bold_line_style(GRID)
            .axis_style(GREY)
            .x_labels(7)
            .y_labels(shown + 2)
            .y_label_formatter(&|y| ridge_label(*y, shown))
            .x_desc("output u")
            .y_desc("dimension")
            .label_style((FONT, 12).into_font().color(&INK))
            .axis_desc_style((FONT, 14).into_font().color(&INK))
            .draw()?;
        for j in 0..shown {
            let base = (shown - j) as f64;
            let ridge = Ridge::new(histogram.column(j), histogram.lo, histogram.hi, base);
            for (side, strength) in
                [(ridge.part(f64::MIN, 0.0), 0.3), (ridge.part(0.0, f64::MAX), 0.85)]
            {
                chart.draw_series([Polygon::new(side, colour.mix(strength).filled())])?;
            }
            let outline = PathElement::new(ridge.points.clone(), WHITE.stroke_width(1));
            chart.draw_series([outline])?;
        }
        let zero = [(0.0, 0.0), (0.0, shown as f64 + 1.2)];
        chart.draw_series(DashedLineSeries::new(zero, 5, 4, INK.into()))?;
    }
    Ok(())
}

/// Numbers the dimensions from the top, at most 16 of them.
fn ridge_label(y: f64, shown: usize) -> String {
    let from_top = shown as f64 - y;
    let step = shown.div_ceil(16) as f64;
    let named =
        y.fract() == 0.0 && (0.0..shown as f64).contains(&from_top) && from_top % step == 0.0;
    if named { format!("{}", from_top as usize + 1) } else { String::new() }
}

/// One histogram as a curve over its base line, 1.3 lines high at its peak.
struct Ridge {
    points: Vec<(f64, f64)>,
    base: f64,
}

impl Ridge {
    fn new(counts: &[u64], lo: f64, hi: f64, base: f64) -> Self {
        let peak = counts.iter().copied().max().unwrap_or(0).max(1) as f64;
        let width = (hi - lo) / counts.len() as f64;
        let height = |count: f64| base + 1.3 * count / peak;
        let centre = |bin: usize| lo + (bin as f64 + 0.5) * width;
        let mut points: Vec<_> =
            counts.iter().enumerate().map(|(bin, &n)| (centre(bin), height(n as f64))).collect();
        // The two parts meet at 0.
        let right = points.partition_point(|&(x, _)| x < 0.0);
        if 0 < right && right < points.len() {
            points.insert(right, (0.0, (points[right - 1].1 + points[right].1) / 2.0));
        }
        Self { points, base }
    }

    /// The outline of the area between `from` and `to`.
    fn part(&self, from: f64, to: f64) -> Vec<(f64, f64)> {
        let inside = || self.points.iter().copied().filter(|&(x, _)| (from..=to).contains(&x));
        let ends = inside().next().into_iter().map(|(x, _)| (x, self.base));
        let last = inside().next_back().into_iter().map(|(x, _)| (x, self.base));
        ends.chain(inside()).chain(last).collect()
    }
}
