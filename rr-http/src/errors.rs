//! Whatever fails, as an answer: the one place where a failure becomes a status.

use crate::{body::BodyError, handle::App, observe::About, reply::Reply};
use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use rr_common::{
    pool::ExecError,
    telemetry::{Level, log},
};
use std::time::SystemTime;

/// The request got no answer: an empty body, or the reason with `pool.debug` or `show_errors`.
pub(crate) fn not_executed(app: &App, error: &ExecError, about: About) -> Response<Reply> {
    // Where people read, once is enough: the pool has told it with what PHP said.
    let told = log::is_for_people("http") && !matches!(error, ExecError::QueueSize | ExecError::Stopped);
    if !told {
        report("execute", error, about);
    }
    let status = match error {
        ExecError::NoFreeWorkers(_) | ExecError::QueueSize => app.settings.no_workers,
        _ => app.settings.internal_error,
    };
    internal(app, status, error)
}

/// PHP answered with something that is no HTTP answer.
pub(crate) fn not_understood(app: &App, error: &str, about: About) -> Response<Reply> {
    report("write response (chunk) error", &error, about);
    internal(app, app.settings.internal_error, &error)
}

/// The request's body could not be read. The rest of it will not be: the connection ends.
pub(crate) fn not_read(error: &BodyError, about: About) -> Response<Reply> {
    report("request forming error", error, about);
    let mut response = text(error.status(), error.answer());
    response
        .headers_mut()
        .insert(header::CONNECTION, HeaderValue::from_static("close"));
    response
}

/// The client has gone before its request was complete.
pub(crate) fn client_gone(about: About) {
    report("write response error", &"the client is gone", about);
}

/// The status that PHP gave does not exist.
pub(crate) fn bad_status(status: i64, about: About) -> Response<Reply> {
    let error = format!("unknown status code from worker: {status}");
    report("write response (chunk) error", &error, about);
    text(StatusCode::INTERNAL_SERVER_ERROR, error + "\n")
}

/// A head that no one should see.
pub(crate) fn bad_request(reason: &'static str) -> Response<Reply> {
    let mut response = text(StatusCode::BAD_REQUEST, reason.to_owned());
    response
        .headers_mut()
        .insert(header::CONNECTION, HeaderValue::from_static("close"));
    response
}

fn internal(app: &App, status: StatusCode, error: &dyn std::fmt::Display) -> Response<Reply> {
    if app.settings.debug {
        return text(status, format!("{error}\n"));
    }
    let mut response = Response::new(Reply::Empty);
    *response.status_mut() = status;
    response
}

fn text(status: StatusCode, text: String) -> Response<Reply> {
    let mut response = Response::new(Reply::Full(Bytes::from(text)));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("text/plain; charset=utf-8"),
    );
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

/// Past `tracing`, which has no moments: the form of `start` is the log mode's matter.
fn report(message: &str, error: &dyn std::fmt::Display, about: About) {
    let elapsed = about.started.elapsed();
    let Some(mut line) = log::line("http", Level::Error, message) else {
        return;
    };
    let milliseconds = elapsed.as_millis().try_into().unwrap_or(u64::MAX);
    line.time("start", SystemTime::now() - elapsed)
        .uint("elapsed", milliseconds)
        .display("error", error)
        .place(about.place);
    line.send();
}
