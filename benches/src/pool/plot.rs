//! The crowd as a picture: SVG of a few lines, drawn here.

use std::fmt::Write;

use super::crowd::Crowd;
use crate::samples::Samples;

/// Of one panel, without its surroundings, in px.
const WIDTH: f64 = 280.0;
const HEIGHT: f64 = 180.0;
/// Around each panel.
const LEFT: f64 = 56.0;
const TOP: f64 = 40.0;
const BOTTOM: f64 = 48.0;
const RIGHT: f64 = 16.0;
/// Lines across a panel.
const TICKS: u32 = 4;

/// One line of a panel: its name, its colour, and its points as (sessions, value).
struct Curve {
    name: &'static str,
    colour: &'static str,
    points: Vec<(f64, f64)>,
}

/// Time per claim and event, and memory per session, over the number of live sessions.
pub(crate) fn svg(crowd: &Crowd) -> String {
    let middle = |of: fn(&super::crowd::Step) -> &Samples| {
        let steps = crowd.steps.iter();
        steps
            .map(|step| (step.sessions as f64, of(step).median().unwrap_or_default()))
            .collect()
    };
    let times = [
        Curve {
            name: "claim",
            colour: "#0b66c3",
            points: middle(|step| &step.claim),
        },
        Curve {
            name: "event",
            colour: "#b5500b",
            points: middle(|step| &step.event),
        },
    ];
    // With a few sessions the figure is what the gateway itself has grown by.
    let many = crowd.steps.iter().filter(|step| step.sessions >= 100);
    let memory = [Curve {
        name: "memory",
        colour: "#2b7a3d",
        points: many
            .map(|step| (step.sessions as f64, crowd.bytes_each(step) / 1e3))
            .collect(),
    }];
    let panel = LEFT + WIDTH + RIGHT;
    let (width, height) = (2.0 * panel, TOP + HEIGHT + BOTTOM);
    let mut text = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" \
         width=\"{width}\" height=\"{height}\" font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"{width}\" height=\"{height}\" fill=\"#fff\"/>\n"
    );
    draw(&mut text, 0.0, "median per claim and event, ms", &times);
    draw(&mut text, panel, "gateway memory per session, kB", &memory);
    text.push_str("</svg>\n");
    text
}

/// One panel, `x` px from the left.
fn draw(text: &mut String, x: f64, title: &str, curves: &[Curve]) {
    let all = || curves.iter().flat_map(|curve| &curve.points);
    let top = ceiling(all().map(|(_, value)| *value).fold(0.0, f64::max));
    let decades = |sessions: f64| sessions.max(1.0).log10();
    let least = all()
        .map(|(s, _)| decades(*s))
        .fold(f64::INFINITY, f64::min);
    let most = all().map(|(s, _)| decades(*s)).fold(0.0, f64::max);
    let across = |sessions: f64| {
        let span = (most - least).max(f64::EPSILON);
        x + LEFT + (decades(sessions) - least) / span * WIDTH
    };
    let down = |value: f64| TOP + HEIGHT - value / top * HEIGHT;
    let mut put = |line: String| {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{line}");
    };
    put(format!(
        "<text x=\"{:.0}\" y=\"20\" font-weight=\"bold\" fill=\"#222\">{title}</text>",
        x + LEFT
    ));
    for tick in 0..=TICKS {
        let value = top / f64::from(TICKS) * f64::from(tick);
        let y = down(value);
        put(format!(
            "<line x1=\"{:.0}\" x2=\"{:.0}\" y1=\"{y:.1}\" y2=\"{y:.1}\" stroke=\"#ddd\"/>\
             <text x=\"{:.0}\" y=\"{:.1}\" text-anchor=\"end\" fill=\"#444\">{}</text>",
            x + LEFT,
            x + LEFT + WIDTH,
            x + LEFT - 6.0,
            y + 4.0,
            short(value)
        ));
    }
    let mut sizes: Vec<f64> = all().map(|(sessions, _)| *sessions).collect();
    sizes.sort_by(f64::total_cmp);
    sizes.dedup();
    for size in sizes {
        put(format!(
            "<text x=\"{:.1}\" y=\"{:.0}\" text-anchor=\"middle\" fill=\"#444\">{size}</text>",
            across(size),
            TOP + HEIGHT + 18.0
        ));
    }
    put(format!(
        "<text x=\"{:.0}\" y=\"{:.0}\" text-anchor=\"middle\" fill=\"#444\">live sessions</text>",
        x + LEFT + WIDTH / 2.0,
        TOP + HEIGHT + 36.0
    ));
    for (number, curve) in curves.iter().enumerate() {
        let colour = curve.colour;
        let points: Vec<String> = curve
            .points
            .iter()
            .map(|(sessions, value)| format!("{:.1},{:.1}", across(*sessions), down(*value)))
            .collect();
        put(format!(
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>",
            points.join(" ")
        ));
        for point in &points {
            let (cx, cy) = point.split_once(',').unwrap_or_default();
            put(format!(
                "<circle cx=\"{cx}\" cy=\"{cy}\" r=\"3\" fill=\"{colour}\"/>"
            ));
        }
        if curves.len() > 1 {
            put(format!(
                "<text x=\"{:.0}\" y=\"{:.0}\" text-anchor=\"end\" fill=\"{colour}\">{}</text>",
                x + LEFT + WIDTH - 4.0,
                TOP + 14.0 + 16.0 * number as f64,
                curve.name
            ));
        }
    }
}

/// With as many digits as it needs, three behind the point at most.
fn short(value: f64) -> String {
    let text = format!("{value:.3}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// The next of 1, 2, 4, 8 times a power of ten, so that a quarter of it is a short number.
fn ceiling(value: f64) -> f64 {
    let power = 10_f64.powf(value.max(f64::MIN_POSITIVE).log10().floor());
    let steps = [1.0, 2.0, 4.0, 8.0, 10.0].map(|step| step * power);
    let found = steps.into_iter().find(|step| *step >= value);
    found.unwrap_or(10.0 * power)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pool::crowd::Step;

    #[test]
    fn every_step_is_a_point_and_nothing_leaves_the_picture() {
        let step = |sessions, ms| Step {
            sessions,
            claim: Samples::of(vec![ms]),
            event: Samples::of(vec![ms / 2.0]),
            look: Samples::of(vec![ms]),
            resident: 10_000_000 + 8_000 * sessions as u64,
        };
        let crowd = Crowd {
            empty: 10_000_000,
            steps: vec![step(10, 0.3), step(1000, 0.31), step(10_000, 0.29)],
        };
        let picture = svg(&crowd);
        assert_eq!(picture.matches("<circle").count(), 3 + 3 + 2);
        let numbers = |name: &str| -> Vec<f64> {
            let mark = format!(" {name}=\"");
            let parts = picture.split(&mark).skip(1);
            parts
                .map(|part| part.split('"').next().unwrap_or_default().parse().unwrap())
                .collect()
        };
        assert!(
            numbers("cx")
                .iter()
                .all(|x| (LEFT..2.0 * (LEFT + WIDTH + RIGHT)).contains(x))
        );
        assert!(
            numbers("cy")
                .iter()
                .all(|y| (TOP..=TOP + HEIGHT).contains(y))
        );
        assert!(!picture.contains("NaN") && !picture.contains("inf"));
    }

    #[test]
    fn a_ceiling_is_above_and_near() {
        for (value, expected) in [(0.29, 0.4), (0.8, 0.8), (8.1, 10.0), (13.0, 20.0)] {
            assert!((ceiling(value) - expected).abs() < 1e-9, "{value}");
        }
        assert_eq!([0.0, 0.1 + 0.2, 20.0].map(short), ["0", "0.3", "20"]);
    }
}
