//! The control API, for tests in other languages: counters and faults at `/_emulator`.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};

use crate::counters::Counters;
use crate::emulator::Shared;
use crate::faults::Fault;

pub(crate) fn router() -> Router<Arc<Shared>> {
    Router::new()
        .route("/_emulator/counters", get(counters))
        .route("/_emulator/reset", post(reset))
        .route("/_emulator/faults", post(inject).delete(clear))
}

async fn counters(State(shared): State<Arc<Shared>>) -> Json<Counters> {
    Json(shared.tally.edit().clone())
}

async fn reset(State(shared): State<Arc<Shared>>) -> StatusCode {
    *shared.tally.edit() = Counters::default();
    StatusCode::NO_CONTENT
}

async fn inject(State(shared): State<Arc<Shared>>, Json(fault): Json<Fault>) -> StatusCode {
    shared.faults.inject(fault);
    StatusCode::NO_CONTENT
}

async fn clear(State(shared): State<Arc<Shared>>) -> StatusCode {
    shared.faults.clear();
    StatusCode::NO_CONTENT
}
