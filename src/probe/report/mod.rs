//! The same facts for a person (a table) and for a program (JSON).

mod changes;
mod json;
mod layout;
mod progress;
mod summary;
mod table;
mod words;

use std::io::{self, Write};

use clap::ValueEnum;

use super::plan::Plan;
use super::send::Record;
use super::{Failure, Finished, RunError};
use crate::language::Language;

use json::Json;
pub(super) use progress::Progress;
use table::Table;

/// The shape of a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For a person.
    Table,
    /// For a program: one document, as `docs/probe.md` describes it.
    Json,
}

/// How a report is shown.
#[derive(Clone, Copy, Debug)]
pub struct View {
    /// Its shape.
    pub format: Format,
    /// The language of what a person reads.
    pub language: Language,
    /// Columns of the terminal; `None` where lines need no wrapping.
    pub width: Option<usize>,
}

/// A report being written.
pub(super) enum Report<W: Write> {
    Table(Table<W>),
    Json(Json<W>),
}

// === impl Report ===

impl<W: Write> Report<W> {
    pub(super) fn new(view: View, out: W) -> Self {
        match view.format {
            Format::Table => Self::Table(Table::new(view, out)),
            Format::Json => Self::Json(Json::new(out)),
        }
    }

    pub(super) fn begin(&mut self, plan: &Plan) -> io::Result<()> {
        match self {
            Self::Table(table) => table.begin(plan),
            Self::Json(json) => json.begin(plan),
        }
    }

    pub(super) fn record(&mut self, record: Record) -> io::Result<()> {
        match self {
            Self::Table(table) => {
                table.record(record);
                Ok(())
            }
            Self::Json(json) => json.record(record),
        }
    }

    pub(super) fn end(self, finished: &Finished) -> io::Result<()> {
        match self {
            Self::Table(table) => table.end(finished),
            Self::Json(json) => json.end(finished),
        }
    }
}

/// What to say when nothing listens where a plan sends to.
pub fn nothing_listens(plan: &Plan, language: Language) -> String {
    let endpoint = &plan.message.endpoint;
    let authority = endpoint.authority();
    match (language, endpoint.is_loopback()) {
        (Language::En, true) => format!(
            "nothing listens on {authority}: every connection was refused; start the load \
             balancer with 'pingora-lab serve', or give the URL of the proxy that you mean"
        ),
        (Language::En, false) => format!(
            "nothing listens on {authority}: every connection was refused; check the address, and \
             that the proxy there is running"
        ),
        (Language::Zh, true) => format!(
            "{authority} 上没有程序在监听：所有连接都被拒绝；请用 'pingora-lab serve' 启动负载均衡器，\
             或给出要探测的代理的 URL"
        ),
        (Language::Zh, false) => format!(
            "{authority} 上没有程序在监听：所有连接都被拒绝；请检查地址，并确认那里的代理已经启动"
        ),
    }
}

impl RunError {
    /// The message, in a person's language.
    pub fn text(&self, language: Language) -> String {
        match (self, language) {
            (Self::Tls(error), Language::En) => format!(
                "TLS cannot be set up: {error}; install the system's certificates (ca-certificates), \
                 name a file of trusted ones in SSL_CERT_FILE, or use --insecure"
            ),
            (Self::Tls(error), Language::Zh) => format!(
                "无法初始化 TLS：{error}；请安装系统证书（ca-certificates），\
                 或用 SSL_CERT_FILE 指定可信证书文件，或使用 --insecure"
            ),
            (Self::Direct { authority, failure }, Language::En) => format!(
                "the backend {authority} gave no answer to --direct, so there is nothing to compare \
                 with and nothing was sent to the proxy: {failure}; check that it is running, or \
                 leave --direct out"
            ),
            (Self::Direct { authority, failure }, Language::Zh) => format!(
                "--direct 指定的后端 {authority} 没有应答，无从比较，因此没有向代理发送请求：\
                 {failure}；请确认它已经启动，或去掉 --direct"
            ),
            (Self::Output(error), Language::En) => {
                format!("the report cannot be written: {error}; check where standard output goes")
            }
            (Self::Output(error), Language::Zh) => {
                format!("无法写出报告：{error}；请检查标准输出的去向")
            }
        }
    }
}

/// A failure's first line for a person: the kind in their language.
fn failure_label(failure: &Failure, words: &words::Words) -> String {
    format!("{}{}", words.failed_colon, words.kind(failure.kind))
}
