//! What is wrong with an order, in words: what, why, and what to do.

use super::plan::MAX_CONCURRENCY;
use crate::language::Language;

/// An order that cannot be carried out; nothing was sent.
#[derive(Clone, Debug, PartialEq)]
pub enum PlanError {
    /// A URL that cannot be asked for.
    Url {
        /// As typed.
        url: String,
        /// Why not.
        reason: String,
    },
    /// A URL with a user name or a password in it.
    Credentials,
    /// No request at all.
    Count,
    /// This option is a time of zero.
    Zero(&'static str),
    /// So many requests at a time.
    Concurrency(u32),
    /// So many requests per second.
    Rate(f64),
    /// Not a method.
    Method(String),
    /// The method CONNECT.
    Connect,
    /// Not `Name: value`.
    Header(String),
    /// A header by which the probe says what it sends.
    Framing(String),
    /// A header that HTTP/2 does not have.
    NotInHttp2(String),
    /// Not a host name.
    Host(String),
    /// More than one `Host`.
    TwoHosts,
    /// The file with the body cannot be read.
    Data {
        /// Its name.
        file: String,
        /// Why not.
        reason: String,
    },
}

impl PlanError {
    /// The message, in a person's language.
    pub fn text(&self, language: Language) -> String {
        match language {
            Language::En => self.english(),
            Language::Zh => self.chinese(),
        }
    }

    fn english(&self) -> String {
        match self {
            Self::Url { url, reason } => format!(
                "the URL '{url}' cannot be used: {reason}; give one like http://127.0.0.1:6188/get"
            ),
            Self::Credentials => {
                "the URL holds a user name or a password: the probe sends none of \
                its own; use --header 'Authorization: Basic …'"
                    .into()
            }
            Self::Count => "--count 0 sends nothing: at least one request is needed; \
                give --count 1 or more"
                .into(),
            Self::Zero(option) => {
                format!("{option} is zero: no request can be done in no time; give one like 10s")
            }
            Self::Concurrency(given) => format!(
                "--concurrency {given} cannot be done: it is how many requests are under way at a \
                 time; give 1 to {MAX_CONCURRENCY}"
            ),
            Self::Rate(given) => format!(
                "--rate {given} cannot be kept: it is how many requests begin per second; \
                 give 0.001 to 1000000"
            ),
            Self::Method(given) => format!(
                "--method '{given}' is no method: it is one word of letters; give one like GET or \
                 PATCH"
            ),
            Self::Connect => "--method CONNECT asks for a tunnel, not for a resource: the probe \
                sends only requests that have an answer of their own; give another method"
                .into(),
            Self::Header(given) => format!(
                "--header '{given}' is no header: a name, a colon and a value are needed; \
                 give one like --header 'X-Trace: 1'"
            ),
            Self::Framing(name) => format!(
                "--header '{name}' cannot be set: it follows from the body and from the \
                 connection; use --data or --no-keepalive"
            ),
            Self::NotInHttp2(name) => format!(
                "--header '{name}' cannot be sent: HTTP/2 has no headers that speak of the \
                 connection; leave it or --http2 out"
            ),
            Self::Host(given) => format!(
                "the host '{given}' is not valid: a name or an address, with a port if need be, is \
                 expected; give one like --host httpbin.org"
            ),
            Self::TwoHosts => "the host is given more than once: a request has exactly one; \
                leave one --host or --header 'Host: …'"
                .into(),
            Self::Data { file, reason } => format!(
                "--data @{file} cannot be read: {reason}; check the path, or give the text itself"
            ),
        }
    }

    fn chinese(&self) -> String {
        match self {
            Self::Url { url, reason } => {
                format!(
                    "URL “{url}” 无法使用：{reason}；请给出类似 http://127.0.0.1:6188/get 的 URL"
                )
            }
            Self::Credentials => "URL 里带有用户名或密码：probe 不会自行发送凭据；\
                请改用 --header 'Authorization: Basic …'"
                .into(),
            Self::Count => {
                "--count 0 不会发送任何请求：至少需要一个；请使用 --count 1 或更大的值".into()
            }
            Self::Zero(option) => {
                format!("{option} 为零：任何请求都来不及完成；请给出类似 10s 的时长")
            }
            Self::Concurrency(given) => format!(
                "--concurrency {given} 无法执行：它是同时进行的请求数；请给出 1 到 {MAX_CONCURRENCY}"
            ),
            Self::Rate(given) => {
                format!("--rate {given} 无法执行：它是每秒发起的请求数；请给出 0.001 到 1000000")
            }
            Self::Method(given) => {
                format!(
                    "--method “{given}” 不是合法的请求方法：方法是一个单词；请给出 GET、PATCH 之类的方法"
                )
            }
            Self::Connect => {
                "--method CONNECT 请求的是隧道而不是资源：probe 只发送自身有应答的请求；\
                请换一个方法"
                    .into()
            }
            Self::Header(given) => format!(
                "--header “{given}” 不是合法的请求头：需要名称、冒号和值；请写成 --header 'X-Trace: 1' 的形式"
            ),
            Self::Framing(name) => format!(
                "--header “{name}” 不能手动设置：它由请求体和连接方式决定；请使用 --data 或 --no-keepalive"
            ),
            Self::NotInHttp2(name) => format!(
                "--header “{name}” 无法发送：HTTP/2 没有描述连接的请求头；请去掉它，或去掉 --http2"
            ),
            Self::Host(given) => format!(
                "主机 “{given}” 不合法：应为域名或地址，可带端口；请写成 --host httpbin.org 的形式"
            ),
            Self::TwoHosts => "主机给了不止一次：一个请求只能有一个 Host；\
                请只保留一个 --host 或 --header 'Host: …'"
                .into(),
            Self::Data { file, reason } => {
                format!("--data @{file} 无法读取：{reason}；请检查路径，或直接给出文本")
            }
        }
    }
}
