#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "pipeline/base/result.h"
#include "pipeline/plan/posting.h"

namespace takt {

/// A subject with places for what a posting holds: "ledger.{type}", "ledger.{plant}.{type}.{key}". Names in braces:
/// type, pipeline, key, revision, or a key field of the posting. A value's characters that no subject token may hold
/// become '_'; an absent value is "_".
class NatsSubject {
  public:
    /// C525: braces that do not close, an empty token, a wildcard.
    static Result<NatsSubject> parse(std::string_view text);

    std::string of(const Posting& posting) const;
    bool uses(std::string_view name) const;
    /// The subject that takes everything this one makes, for a stream: "ledger.>" or, without places, the subject
    /// itself.
    std::string pattern() const;

  private:
    struct Piece {
        bool is_name = false;
        std::string text;
    };
    std::vector<Piece> pieces_;
};

}  // namespace takt
