#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "pipeline/config/place.h"

namespace takt {

/// One mistake in a config: place, code, fact, and what to do.
struct Mistake {
    Place place;
    std::string code;       ///< C1xx or C2xx
    std::string message;    ///< "unknown option 'bnad' in step 'trim_temperature' (deadband)"
    std::string hint;       ///< beside the caret: "did you mean 'band'?"; may be empty
    bool show_line = true;  ///< false where the line holds a secret: then no other mistake shows it either
};

/// Collects all mistakes, so that the user sees them at once, each once (same place, code and message are one).
class Mistakes {
  public:
    void add(Place place, std::string code, std::string message, std::string hint = {});
    /// The same where the line itself must not be shown.
    void add_without_line(Place place, std::string code, std::string message, std::string hint = {});
    bool empty() const { return list_.empty(); }
    /// In the order in which they were found.
    const std::vector<Mistake>& list() const { return list_; }
    /// By file (the one asked for, then its includes), line and column, in the form of STYLE.md:
    /// `file:line:column: error C104: ...`, the line itself (long ones cut around the caret), the caret and the hint.
    /// Stars stand for what looks like a secret: a password in a URL, and a text behind password, token or secret.
    std::string render() const;

  private:
    void keep(Mistake mistake);

    std::vector<Mistake> list_;
};

/// "did you mean 'band'?" for the nearest candidate (Damerau-Levenshtein, at most a third of the length), else empty.
std::string did_you_mean(std::string_view written, std::span<const std::string> candidates);

}  // namespace takt
