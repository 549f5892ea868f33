//! Quiet when off, rare when on.

use super::*;

fn recorder() -> (Progress, Arc<Mutex<Vec<String>>>) {
    let lines = Arc::new(Mutex::new(Vec::new()));
    let sink = Arc::clone(&lines);
    (Progress::lines_to(move |line| sink.lock().unwrap().push(line.to_owned())), lines)
}

#[test]
fn a_task_that_is_switched_off_says_nothing_and_does_not_fail() {
    let progress = Progress::default();
    assert!(progress.is_off());
    let task = progress.task("a", None);
    task.message("m");
    task.advance(3);
    task.subtask("b", 7).finish();
    progress.note("n");
    assert_eq!(progress.suspend(|| 5), 5);
    task.finish();
}

#[test]
fn quick_inner_tasks_do_not_flood_the_log() {
    let (progress, lines) = recorder();
    let outer = progress.task("outer", 1000);
    for _ in 0..1000 {
        outer.subtask("inner", 10).finish();
        outer.advance(1);
    }
    outer.finish();
    let lines = lines.lock().unwrap();
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(lines[0].starts_with("outer: 1000/1000 (100 %), done in "), "{lines:?}");
}

#[test]
fn a_dropped_task_says_that_it_stopped() {
    let (progress, lines) = recorder();
    let task = progress.task("train", 10);
    task.advance(4);
    drop(task);
    let line = lines.lock().unwrap().pop().unwrap();
    assert!(line.starts_with("train: 4/10 (40 %), stopped after "), "{line}");
}

#[test]
fn bars_without_a_terminal_are_quiet() {
    let bars = MultiProgress::with_draw_target(ProgressDrawTarget::hidden());
    let progress = Progress { sink: Sink::Bars(bars) };
    let task = progress.task("a", 10);
    let inner = task.subtask("b", None);
    inner.start_at(3);
    inner.message("m");
    inner.set_position(5);
    inner.finish();
    task.progress().note("n");
    task.finish();
}

#[test]
fn both_styles_have_a_valid_template() {
    for has_total in [true, false] {
        let _ = style(has_total);
    }
    let text = format!("{:?}", Progress::lines());
    assert_eq!(text, "Progress(lines)");
}

#[test]
fn a_task_can_be_advanced_from_several_threads() {
    let (progress, lines) = recorder();
    let task = progress.task("a", 400);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| (0..100).for_each(|_| task.advance(1)));
        }
    });
    task.finish();
    assert!(lines.lock().unwrap()[0].starts_with("a: 400/400 (100 %)"));
}
