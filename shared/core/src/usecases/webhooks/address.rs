//! The address that a job's own request names.

use super::Notifier;
use crate::{Error, FieldError, usecases::AboutDraft, webhook::NotifyAddress};

/// Whom the request asks to be told, checked as far as that can be done before anything is sent.
pub(in crate::usecases) fn addresses(
    notifier: &Notifier,
    draft: &AboutDraft,
) -> Result<Vec<NotifyAddress>, Error> {
    let mut errors = Vec::new();
    let method = match draft.notification_method.as_deref().map(str::parse).transpose() {
        Ok(method) => method,
        Err(detail) => {
            errors.push(FieldError::at("notification_method", detail));
            None
        }
    };
    let Some(url) = &draft.notification_url else {
        if draft.notification_method.is_some() {
            errors.push(FieldError::at("notification_method", "needs a notification_url"));
        }
        return if errors.is_empty() { Ok(Vec::new()) } else { Err(Error::Invalid(errors)) };
    };
    if let Err(unfit) = notifier.sender.check(url) {
        errors.push(FieldError::at("notification_url", unfit.to_string()));
    }
    if !errors.is_empty() {
        return Err(Error::Invalid(errors));
    }
    Ok(vec![NotifyAddress { url: url.clone(), method: method.unwrap_or_default() }])
}
