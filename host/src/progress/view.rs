//! What the screen shows of a run. Pure: draws what it was told.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::symbols::Marker;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Axis, Block, Borders, Chart, Dataset, GraphType, LineGauge, Paragraph};

use super::Standing;
use super::gauge::{Figure, Gauge};
use super::waiting::Waiting;
use crate::guest_text::line;
use crate::metrics::Histogram;
use crate::rendering::text::{self, Part};
use crate::report::units::{duration, rate};
use crate::report::words::{self, Tone};
use crate::report::{BucketReport, ModelName, Moment, Report, RunReport, curves};

/// The most lines that are kept of what was said.
const MOST_SAID: usize = 1_000;

/// A screen of this size has room for everything at once.
const LARGE: (u16, u16) = (150, 45);

/// A curve: its name, its colour, its points.
type Curve = (&'static str, Color, Vec<(f64, f64)>);

/// What can be chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Panel {
    Results,
    Spans,
    Durations,
    Workers,
    Generator,
    Events,
}

impl Panel {
    const ALL: [Self; 6] = [Self::Results, Self::Spans, Self::Durations, Self::Workers, Self::Generator, Self::Events];

    fn name(self) -> &'static str {
        match self {
            Self::Results => "results",
            Self::Spans => "spans",
            Self::Durations => "durations",
            Self::Workers => "workers",
            Self::Generator => "generator",
            Self::Events => "events",
        }
    }
}

/// To another panel.
#[derive(Clone, Copy, Debug)]
pub(super) enum Direction {
    Next,
    Previous,
}

/// What is shown.
pub(super) struct View {
    begun: Instant,
    has_colours: bool,
    /// `None` before the first run.
    gauge: Option<Gauge>,
    standing: Option<Standing>,
    /// What the run waits for besides its operations.
    pub(super) waiting: Option<Waiting>,
    report: Option<Box<Report>>,
    /// What was said, and when.
    pub(super) said: VecDeque<(Duration, String)>,
    /// The index of the chosen panel.
    chosen: usize,
    /// The first line of it that is shown.
    first: u16,
    is_paused: bool,
}

impl View {
    pub(super) fn new(has_colours: bool) -> Self {
        Self {
            begun: Instant::now(),
            has_colours,
            gauge: None,
            standing: None,
            waiting: None,
            report: None,
            said: VecDeque::new(),
            chosen: 0,
            first: 0,
            is_paused: false,
        }
    }

    /// A run begins.
    pub(super) fn begin(&mut self, gauge: Gauge) {
        (self.gauge, self.standing, self.waiting) = (Some(gauge), None, None);
    }

    /// Counts operations that have ended.
    pub(super) fn count(&mut self, latency: Histogram, failed: u64) {
        self.gauge.iter_mut().for_each(|gauge| gauge.count(latency.clone(), failed));
    }

    /// Notes how far the run has come.
    pub(super) fn stand(&mut self, standing: Standing) {
        if let Some(gauge) = &mut self.gauge {
            gauge.move_to(&standing);
        }
        if !self.is_paused {
            self.standing = Some(standing);
        }
    }

    /// Notes a report on the run.
    pub(super) fn show(&mut self, report: Box<Report>) {
        if !self.is_paused {
            self.report = Some(report);
        }
    }

    /// Notes that the run was asked to stop.
    pub(super) fn stop(&mut self) {
        self.gauge.iter_mut().for_each(Gauge::stop);
    }

    /// Notes what was said.
    pub(super) fn say(&mut self, text: &str) {
        let at = self.begun.elapsed();
        self.said.extend(text.lines().map(|text| (at, line(text))));
        let excess = self.said.len().saturating_sub(MOST_SAID);
        self.said.drain(..excess);
    }

    /// Stops to follow the run, or goes on.
    pub(super) fn pause(&mut self) {
        self.is_paused = !self.is_paused;
    }

    /// Chooses the next panel, or the one before.
    pub(super) fn turn(&mut self, direction: Direction) {
        let step = match direction {
            Direction::Next => 1,
            Direction::Previous => Panel::ALL.len() - 1,
        };
        self.choose((self.chosen + step) % Panel::ALL.len());
    }

    /// Chooses a panel.
    pub(super) fn choose(&mut self, index: usize) {
        if index < Panel::ALL.len() {
            (self.chosen, self.first) = (index, 0);
        }
    }

    /// Moves the lines of the chosen panel.
    pub(super) fn scroll(&mut self, lines: i16) {
        self.first = self.first.saturating_add_signed(lines);
    }

    /// Draws everything.
    pub(super) fn draw(&self, frame: &mut Frame<'_>) {
        let [head, charts, rest, keys] = Layout::vertical([
            Constraint::Length(3),
            Constraint::Percentage(40),
            Constraint::Min(3),
            Constraint::Length(1),
        ])
        .areas(frame.area());
        self.draw_head(frame, head);
        self.draw_charts(frame, charts);
        let area = frame.area();
        if area.width >= LARGE.0 && area.height >= LARGE.1 {
            self.draw_all(frame, rest);
        } else {
            let [tabs, body] = Layout::vertical([Constraint::Length(1), Constraint::Min(1)]).areas(rest);
            frame.render_widget(self.tabs(), tabs);
            self.draw_panel(frame, body, Panel::ALL[self.chosen]);
        }
        let keys_text = "q stop, again: cut   p pause   Tab or 1-6 choose   ↑ ↓ scroll";
        frame.render_widget(Paragraph::new(keys_text).style(self.dim()), keys);
    }

    /// What runs, how far it is, and its figures at present.
    fn draw_head(&self, frame: &mut Frame<'_>, area: Rect) {
        let [title, bar, figures] = Layout::vertical([Constraint::Length(1); 3]).areas(area);
        let what = self.run().map_or_else(
            || "starting".to_owned(),
            |run| {
                let name = run.name.as_ref().map(|name| format!("{name}: ")).unwrap_or_default();
                let subject = words::file_name(words::subject(run));
                format!("{name}{subject}, {}, {}", words::model(&run.plan), curves::shape(run))
            },
        );
        let paused = if self.is_paused { "  paused" } else { "" };
        let bold = Style::new().add_modifier(Modifier::BOLD);
        frame.render_widget(
            Line::from(vec![Span::styled(line(&what), bold), Span::styled(paused, self.in_colour(Color::Yellow))]),
            title,
        );
        let wait = self.waiting.as_ref().and_then(Waiting::words);
        if let Some(wait) = &wait {
            frame.render_widget(Line::from(wait.as_str()), figures);
        }
        let Some((gauge, standing)) = self.gauge.as_ref().zip(self.standing.as_ref()) else { return };
        let share = gauge.share(standing);
        let widget = LineGauge::default()
            .ratio(share)
            .label(format!("{:>3.0} %", share * 100.0))
            .filled_symbol("━")
            .unfilled_symbol("─")
            .filled_style(self.in_colour(Color::Cyan))
            .unfilled_style(self.dim());
        frame.render_widget(widget, bar);
        if wait.is_some() {
            return;
        }
        let spans = fitted(gauge.figures(standing), figures.width.into()).into_iter().map(|figure| {
            let style = if figure.is_bad { self.in_colour(Color::Red) } else { Style::new() };
            Span::styled(format!("{}  ", figure.text), style)
        });
        frame.render_widget(Line::from(spans.collect::<Vec<_>>()), figures);
    }

    /// Throughput and percentiles over time.
    fn draw_charts(&self, frame: &mut Frame<'_>, area: Rect) {
        let Some(run) = self.run() else { return };
        let [left, right] = Layout::horizontal([Constraint::Percentage(50); 2]).spacing(2).areas(area);
        let second = |ns: u64| ns as f64 / 1e9;
        // A part of an interval is too short for a rate.
        let whole: Vec<&BucketReport> = run.timeline.buckets.iter().filter(|bucket| !bucket.partial).collect();
        let interval_ns = run.timeline.interval_ns.max(1);
        let over_time = |of: &dyn Fn(&BucketReport) -> Option<f64>| -> Vec<(f64, f64)> {
            whole.iter().filter_map(|bucket| Some((second(bucket.start_ns + interval_ns / 2), of(bucket)?))).collect()
        };
        let per_second = |number: u64| Some(number as f64 / second(interval_ns));
        let is_open = run.plan.load_model == ModelName::Open;
        let done = over_time(&|bucket| Some(curves::rate(run, bucket)));
        let offered = over_time(&|bucket| bucket.due.filter(|_| is_open).and_then(per_second));
        let not_ok = over_time(&|bucket| per_second(bucket.failed).filter(|&rate| rate > 0.0));
        let until = second(run.elapsed_ns).max(1.0);
        let rates =
            [("offered", Color::DarkGray, offered), ("done", Color::Cyan, done), ("not ok", Color::Red, not_ok)];
        self.draw_chart(frame, left, "operations per second", until, &rates, &|value| rate(value));
        // Fewer say nothing.
        let enough = |bucket: &&BucketReport| bucket.latency_ns.count >= 10;
        let time = |of: fn(&BucketReport) -> Option<u64>| {
            over_time(&|bucket| Some(bucket).filter(enough).and_then(of).map(|ns| ns as f64))
        };
        let times = [
            ("p50", Color::Green, time(|bucket| bucket.latency_ns.p50)),
            ("p95", Color::Yellow, time(|bucket| bucket.latency_ns.p95)),
            ("p99", Color::Magenta, time(|bucket| bucket.latency_ns.p99)),
        ];
        self.draw_chart(frame, right, "latency", until, &times, &|value| duration(value as u64));
    }

    fn draw_chart(
        &self,
        frame: &mut Frame<'_>,
        area: Rect,
        title: &str,
        until: f64,
        curves: &[Curve],
        label: &dyn Fn(f64) -> String,
    ) {
        let shown = || curves.iter().filter(|(_, _, points)| !points.is_empty());
        let most = shown().flat_map(|(_, _, points)| points).map(|point| point.1).fold(0.0, f64::max);
        let most = if most > 0.0 { most * 1.1 } else { 1.0 };
        let names =
            shown().flat_map(|(name, colour, _)| [Span::raw("  "), Span::styled(*name, self.in_colour(*colour))]);
        let title = std::iter::once(Span::raw(title.to_owned())).chain(names).chain([Span::raw(" ")]);
        let datasets = shown().map(|(_, colour, points)| {
            let dataset = Dataset::default().data(points).marker(Marker::Braille).graph_type(GraphType::Line);
            dataset.style(self.in_colour(*colour))
        });
        let seconds = |at: f64| duration((at * 1e9) as u64);
        let chart = Chart::new(datasets.collect())
            .block(
                Block::new()
                    .borders(Borders::TOP)
                    .border_style(self.dim())
                    .title(Line::from(title.collect::<Vec<_>>())),
            )
            .legend_position(None)
            .x_axis(Axis::default().bounds([0.0, until]).labels(["0 s".into(), seconds(until / 2.0), seconds(until)]))
            .y_axis(Axis::default().bounds([0.0, most]).labels(["0".into(), label(most / 2.0), label(most)]));
        frame.render_widget(chart, area);
    }

    /// All panels, on a large screen.
    fn draw_all(&self, frame: &mut Frame<'_>, area: Rect) {
        let halves = |area: Rect| Layout::horizontal([Constraint::Percentage(50); 2]).spacing(2).areas::<2>(area);
        let [upper, middle, lower] =
            Layout::vertical([Constraint::Percentage(40), Constraint::Percentage(35), Constraint::Percentage(25)])
                .areas(area);
        let areas = [upper, middle, lower].into_iter().flat_map(halves);
        for (i, (panel, area)) in Panel::ALL.into_iter().zip(areas).enumerate() {
            let style = if i == self.chosen { Style::new().add_modifier(Modifier::BOLD) } else { self.dim() };
            let title = Span::styled(format!("{} {}", i + 1, panel.name()), style);
            let block = Block::new().borders(Borders::TOP).border_style(self.dim()).title(title);
            let inner = block.inner(area);
            frame.render_widget(block, area);
            self.draw_panel(frame, inner, panel);
        }
    }

    fn tabs(&self) -> Line<'static> {
        let names = Panel::ALL.into_iter().enumerate().flat_map(|(i, panel)| {
            let is_chosen = i == self.chosen;
            let style = if is_chosen { Style::new().add_modifier(Modifier::REVERSED) } else { self.dim() };
            [Span::styled(format!(" {} {} ", i + 1, panel.name()), style), Span::raw(" ")]
        });
        Line::from(names.collect::<Vec<_>>())
    }

    /// A panel, from the line to which it was scrolled.
    fn draw_panel(&self, frame: &mut Frame<'_>, area: Rect, panel: Panel) {
        let lines = self.lines(panel, area.width.into());
        let last = lines.len().saturating_sub(area.height.into());
        let is_chosen = Panel::ALL[self.chosen] == panel;
        let first = match panel {
            // The newest ones, unless somebody looks back.
            Panel::Events => last.saturating_sub(if is_chosen { self.first.into() } else { 0 }),
            _ if is_chosen => last.min(self.first.into()),
            _ => 0,
        };
        let shown: Vec<Line<'_>> = lines.into_iter().skip(first).take(area.height.into()).collect();
        frame.render_widget(Paragraph::new(shown), area);
    }

    fn lines(&self, panel: Panel, columns: usize) -> Vec<Line<'static>> {
        if panel == Panel::Events {
            let said = self.said.iter().map(|(at, text)| {
                let at = Span::styled(format!("{:>6.1} s  ", at.as_secs_f64()), self.dim());
                Line::from(vec![at, Span::raw(text.clone())])
            });
            return said.collect();
        }
        let Some((report, run)) = self.report.as_ref().zip(self.run()) else { return Vec::new() };
        let part = match panel {
            Panel::Results => Part::Results,
            Panel::Spans => Part::Spans,
            Panel::Durations => Part::Durations,
            Panel::Workers => Part::Workers,
            Panel::Generator | Panel::Events => return self.generator(report, run),
        };
        let text = text::part(run, part, columns);
        let is_bad = |line: &str| line.starts_with('✗');
        let style = |line: &str| if is_bad(line) { self.in_colour(Color::Red) } else { Style::new() };
        text.lines().map(|line| Line::styled(line.to_owned(), style(line))).collect()
    }

    /// How healthy the generator is, and what else a reader of the figures must know.
    fn generator(&self, report: &Report, run: &RunReport) -> Vec<Line<'static>> {
        let words = words::of_report(report, Moment::Running).into_iter();
        let words = words.chain(words::of_run(run, report.environment.clock_ns));
        let lines = words.map(|word| {
            let colour = match word.tone {
                Tone::Bad => Some(Color::Red),
                Tone::Warning => Some(Color::Yellow),
                Tone::Good => Some(Color::Green),
                Tone::Plain => None,
            };
            let style = colour.map(|colour| self.in_colour(colour)).unwrap_or_default();
            Line::styled(word.text(line), style)
        });
        lines.collect()
    }

    /// The run that goes on.
    fn run(&self) -> Option<&RunReport> {
        self.report.as_ref()?.runs.last()
    }

    fn in_colour(&self, colour: Color) -> Style {
        if self.has_colours { Style::new().fg(colour) } else { Style::new() }
    }

    fn dim(&self) -> Style {
        Style::new().add_modifier(Modifier::DIM)
    }
}

/// As many figures as fit, those with the most weight first, in their order.
fn fitted(mut figures: Vec<Figure>, columns: usize) -> Vec<Figure> {
    let width = |figures: &[Figure]| figures.iter().map(|of| of.text.chars().count() + 2).sum::<usize>();
    while width(&figures) > columns + 2
        && let Some(least) = figures.iter().map(|of| of.weight).min()
        && figures.len() > 1
    {
        figures.retain(|of| of.weight > least);
    }
    figures
}

#[cfg(test)]
mod tests {
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;

    use super::*;
    use crate::plan::RunPlan;
    use crate::report::tests::{environment, http_record, open_record, record};

    /// The screen as text.
    fn drawn(view: &View, columns: u16, rows: u16) -> String {
        let mut terminal = Terminal::new(TestBackend::new(columns, rows)).unwrap();
        terminal.draw(|frame| view.draw(frame)).unwrap();
        terminal.backend().to_string()
    }

    /// A view of a run, half of which is done.
    fn view(report: Report, plan: RunPlan) -> View {
        let mut view = View::new(true);
        view.begin(Gauge::new(Box::new(plan)));
        view.show(Box::new(report));
        let (elapsed, known) = (Duration::from_millis(2_500), Duration::from_millis(2_500));
        view.stand(Standing { elapsed, completed: 1_000, dropped: 0, known, workers: 2 });
        view
    }

    fn half_done(record: &crate::record::RunRecord) -> View {
        let plan = record.plan.clone();
        view(Report::new(environment(), std::slice::from_ref(record)), plan)
    }

    #[test]
    fn every_panel_fits_a_small_screen() {
        let mut view = half_done(&http_record());
        view.said.push_back((Duration::from_millis(1_230), "fault: worker 7 ended".into()));
        let mut screens = vec![drawn(&view, 80, 24)];
        for _ in 1..Panel::ALL.len() {
            view.turn(Direction::Next);
            let screen = drawn(&view, 80, 24);
            screens.push(screen.lines().skip(12).collect::<Vec<_>>().join("\n"));
        }
        insta::assert_snapshot!(screens.join("\n"));
        view.turn(Direction::Next);
        assert_eq!(view.chosen, 0, "after the last one comes the first one");
        view.turn(Direction::Previous);
        assert_eq!(Panel::ALL[view.chosen], Panel::Events);
        view.choose(17);
        assert_eq!(Panel::ALL[view.chosen], Panel::Events, "there is no such panel");
    }

    #[test]
    fn a_large_screen_has_everything() {
        insta::assert_snapshot!(drawn(&half_done(&open_record()), 200, 60));
    }

    #[test]
    fn lines_are_scrolled_as_far_as_there_are_any() {
        let mut view = half_done(&record(4));
        let before = drawn(&view, 80, 16);
        view.scroll(-3);
        assert_eq!(drawn(&view, 80, 16), before);
        view.scroll(2);
        let scrolled = drawn(&view, 80, 16);
        assert_ne!(scrolled, before);
        view.scroll(30_000);
        assert!(drawn(&view, 80, 16).lines().any(|line| line.contains("has room for")), "the last line");
    }

    #[test]
    fn a_paused_view_stays_but_keeps_what_is_said() {
        let mut view = half_done(&record(4));
        view.pause();
        let before = drawn(&view, 80, 24);
        assert!(before.contains("paused"));
        view.show(Box::new(Report::new(environment(), &[record(1)])));
        let moment = Duration::from_secs(9);
        view.stand(Standing { elapsed: moment, completed: 1_900, dropped: 0, known: moment, workers: 1 });
        assert_eq!(drawn(&view, 80, 24), before);
        view.say("fault: a\u{1b}[2Jb\nand more\n");
        let said: Vec<_> = view.said.iter().map(|(_, text)| text.as_str()).collect();
        assert!(said.len() == 2 && !said[0].contains('\u{1b}'), "{said:?}");
        (0..2 * MOST_SAID).for_each(|_| view.say("again\n"));
        assert_eq!(view.said.len(), MOST_SAID);
    }

    #[test]
    fn no_screen_is_too_small() {
        let mut view = half_done(&http_record());
        for (columns, rows) in [(1, 1), (10, 3), (20, 8), (80, 5), (3, 60), (150, 45), (400, 100)] {
            for _ in Panel::ALL {
                view.turn(Direction::Next);
                drawn(&view, columns, rows);
            }
        }
        drawn(&View::new(false), 80, 24);
    }
}
