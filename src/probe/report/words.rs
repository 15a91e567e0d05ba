//! The words of the table, in both languages.

use super::super::failure::FailureKind;
use super::super::observe::Unknown;
use super::super::tally::Change;
use crate::language::Language;

/// Short words, one set a language. Sentences with numbers in them are methods,
/// since their order differs.
pub(super) struct Words {
    language: Language,
    pub request: &'static str,
    pub response: &'static str,
    pub unknown: &'static str,
    pub unchanged: &'static str,
    pub failed_colon: &'static str,
    pub summary: &'static str,
    pub status: &'static str,
    pub backends: &'static str,
    pub latency: &'static str,
    pub failures: &'static str,
    pub headers: &'static str,
    pub direction: &'static str,
    pub change: &'static str,
    pub header: &'static str,
    pub seen: &'static str,
    pub varies: &'static str,
    pub others: &'static str,
    pub claim: &'static str,
}

static ENGLISH: Words = Words {
    language: Language::En,
    request: "request",
    response: "response",
    unknown: "unknown",
    unchanged: "unchanged",
    failed_colon: "failed: ",
    summary: "Summary",
    status: "Status",
    backends: "Backends",
    latency: "Latency",
    failures: "Failures",
    headers: "Headers that the proxy touched",
    direction: "Where",
    change: "Change",
    header: "Header",
    seen: "Seen",
    varies: "(differs)",
    others: "others",
    claim: "* the proxy says so (x-served-by); the backend itself did not say",
};

static CHINESE: Words = Words {
    language: Language::Zh,
    request: "请求",
    response: "响应",
    unknown: "未知",
    unchanged: "无变化",
    failed_colon: "失败：",
    summary: "汇总",
    status: "状态码",
    backends: "后端",
    latency: "延迟",
    failures: "失败",
    headers: "代理改动的头部",
    direction: "位置",
    change: "改动",
    header: "头部",
    seen: "次数",
    varies: "（各次不同）",
    others: "其他",
    claim: "* 这是代理的说法（x-served-by），后端自己没有表明身份",
};

// === impl Words ===

impl Words {
    pub(super) fn of(language: Language) -> &'static Self {
        match language {
            Language::En => &ENGLISH,
            Language::Zh => &CHINESE,
        }
    }

    pub(super) fn kind(&self, kind: FailureKind) -> &'static str {
        if self.language == Language::En {
            return kind.word();
        }
        match kind {
            FailureKind::Connect => "无法连接（connect）",
            FailureKind::Timeout => "超时（timeout）",
            FailureKind::Reset => "连接中断（reset）",
            FailureKind::Tls => "TLS 错误（tls）",
            FailureKind::Protocol => "协议错误（protocol）",
        }
    }

    pub(super) fn change(&self, change: Change) -> &'static str {
        match (self.language, change) {
            (Language::En, Change::Added) => "added",
            (Language::En, Change::Changed) => "changed",
            (Language::En, Change::Removed) => "removed",
            (Language::Zh, Change::Added) => "添加",
            (Language::Zh, Change::Changed) => "修改",
            (Language::Zh, Change::Removed) => "删除",
        }
    }

    /// The line that stands for a list that is the same as an earlier one.
    pub(super) fn same_as(&self, number: u64) -> String {
        match self.language {
            Language::En => format!("as in #{number}"),
            Language::Zh => format!("同 #{number}"),
        }
    }

    /// The same, where some values differ.
    pub(super) fn same_except(&self, number: u64) -> String {
        match self.language {
            Language::En => format!("as in #{number}, except"),
            Language::Zh => format!("同 #{number}，仅以下不同"),
        }
    }

    pub(super) fn left_out(&self, count: u64) -> String {
        match self.language {
            Language::En => {
                let requests = if count == 1 { "request is" } else { "requests are" };
                format!("… {count} more {requests} not listed; --format json lists every one")
            }
            Language::Zh => format!("…… 另有 {count} 个请求未列出；--format json 会列出全部请求"),
        }
    }

    pub(super) fn totals(
        &self,
        succeeded: u64,
        failed: u64,
        elapsed: &str,
        rate: Option<f64>,
    ) -> String {
        let sent = succeeded + failed;
        match self.language {
            Language::En => {
                let rate = rate.map(|rate| format!(" ({rate:.1} per second)")).unwrap_or_default();
                format!("{sent} sent, {succeeded} answered, {failed} failed, in {elapsed}{rate}")
            }
            Language::Zh => {
                let rate = rate.map(|rate| format!("（每秒 {rate:.1} 个）")).unwrap_or_default();
                format!(
                    "发送 {sent} 个，得到应答 {succeeded} 个，失败 {failed} 个，用时 {elapsed}{rate}"
                )
            }
        }
    }

    pub(super) fn in_flight(&self, count: u64) -> String {
        match self.language {
            Language::En => format!("interrupted; {count} under way were given up and not counted"),
            Language::Zh => format!("已中断；进行中的 {count} 个请求已放弃，不计入统计"),
        }
    }

    /// Answers with an error status, which are answers all the same.
    pub(super) fn error_statuses(&self, count: u64) -> String {
        match self.language {
            Language::En => format!(
                "Of these, {count} with a status of 400 or above; an error status is an answer \
                 too (--fail makes it exit code 1)"
            ),
            Language::Zh => format!(
                "其中 {count} 个应答的状态码不小于 400，仍算作得到应答（加 --fail 则退出码为 1）"
            ),
        }
    }

    /// Why so many answers say nothing about one direction, and what would.
    pub(super) fn why_unknown(&self, request: bool, why: Unknown, count: u64) -> String {
        match self.language {
            Language::En => {
                let part = if request { "Request" } else { "Response" };
                let reason = english_reason(request, why);
                format!("{part} headers of {count} answered: unknown; {reason}")
            }
            Language::Zh => {
                let part = if request { "请求头" } else { "响应头" };
                let reason = chinese_reason(request, why);
                format!("{count} 个应答的{part}改动未知：{reason}")
            }
        }
    }

    pub(super) fn headers_left_out(&self, count: u64) -> String {
        match self.language {
            Language::En => format!("… and {count} more"),
            Language::Zh => format!("…… 另有 {count} 项未列出"),
        }
    }

    /// The words beside the progress bar.
    pub(super) fn progress(&self, done: &str, failed: u64, elapsed: &str) -> String {
        match self.language {
            Language::En => format!("{done} done, {failed} failed, {elapsed}"),
            Language::Zh => format!("完成 {done}，失败 {failed}，{elapsed}"),
        }
    }

    /// A note on what an echo can show.
    pub(super) fn echo_note(&self) -> &'static str {
        match self.language {
            Language::En => {
                "Request headers come from the echo in the body, which may hide some; removed ones \
                 are not known."
            }
            Language::Zh => {
                "请求头的改动取自响应体中的回显，回显可能隐藏部分头部；被删除的头部未知。"
            }
        }
    }
}

fn english_reason(request: bool, why: Unknown) -> &'static str {
    match (why, request) {
        (Unknown::NoWitness, true) => {
            "no lab backend reported them and the body is no echo of them. Put lab backends behind \
             the proxy (pingora-lab backends), or ask for a path that echoes (httpbin: /get)"
        }
        (Unknown::NoWitness, false) => {
            "no lab backend reported them. Put lab backends behind the proxy (pingora-lab \
             backends), or compare with the backend itself (--direct URL)"
        }
        (Unknown::TooLong, _) => {
            "the backend left its report out, since it was longer than 8 KiB. Send or set fewer \
             headers"
        }
        (Unknown::Unreadable, _) => {
            "the backend's report was altered on the way or is none. Let the proxy pass \
             x-lab-observed-* as it is"
        }
        (Unknown::OtherStatus, _) => {
            "the backend itself answered --direct with another status. Compare with the backend \
             that answers this request (--host can choose it)"
        }
    }
}

fn chinese_reason(request: bool, why: Unknown) -> &'static str {
    match (why, request) {
        (Unknown::NoWitness, true) => {
            "没有实验后端报告，响应体也不是请求头的回显。请在代理后面使用实验后端\
             （pingora-lab backends），或请求会回显的路径（httpbin 的 /get）"
        }
        (Unknown::NoWitness, false) => {
            "没有实验后端报告。请在代理后面使用实验后端（pingora-lab backends），\
             或与后端本身比较（--direct URL）"
        }
        (Unknown::TooLong, _) => "后端的报告超过 8 KiB，已省略。请减少发送或设置的头部",
        (Unknown::Unreadable, _) => {
            "后端的报告在途中被改动，或者根本不是报告。请让代理原样透传 x-lab-observed-*"
        }
        (Unknown::OtherStatus, _) => {
            "后端本身对 --direct 的应答是另一个状态码。请与应答该请求的后端比较（可用 --host 选定后端）"
        }
    }
}
