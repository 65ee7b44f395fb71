//! The scenarios, theme by theme.

#![expect(clippy::unwrap_used, reason = "what a scenario does not expect must end it")]

mod accounts;
mod aws_limits;
mod aws_services;
mod aws_webhooks;
mod aws_workers;
mod aws_zips;
mod batches;
mod damage;
mod jobs;
mod one_box;
mod requests;
mod results;
mod s3;
mod s3_statements;
mod statements;
mod submissions;
mod texts;
mod upstreams;
mod webhooks;
mod zips;

fn main() -> std::process::ExitCode {
    willcall_tests::run(
        [
            jobs::scenarios(),
            results::scenarios(),
            zips::scenarios(),
            requests::scenarios(),
            statements::scenarios(),
            submissions::scenarios(),
            batches::scenarios(),
            upstreams::scenarios(),
            accounts::scenarios(),
            damage::scenarios(),
            one_box::scenarios(),
            texts::scenarios(),
            s3::scenarios(),
            s3_statements::scenarios(),
            webhooks::scenarios(),
            aws_limits::scenarios(),
            aws_workers::scenarios(),
            aws_zips::scenarios(),
            aws_services::scenarios(),
            aws_webhooks::scenarios(),
        ]
        .into_iter()
        .flatten()
        .collect(),
    )
}
