// The right to use a workspace.
#pragma once

#include <stdexcept>

#include "workspace.h"

namespace superpixel {

// Reserves a workspace for one call.
class Claim {
  public:
    explicit Claim(Workspace& workspace) : workspace_(workspace) {
        if (workspace.busy.exchange(true)) {
            throw std::runtime_error("workspace: in use by another call; give each thread its own");
        }
    }
    ~Claim() {
        workspace_.trim();
        workspace_.busy = false;
    }
    Claim(const Claim&) = delete;
    Claim& operator=(const Claim&) = delete;

  private:
    Workspace& workspace_;
};

}  // namespace superpixel
