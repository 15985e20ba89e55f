<?php

declare(strict_types=1);

namespace Rr\Rpc;

use Rr\Frame;

/** How the argument and the result of a call are encoded. */
enum Codec: int
{
    case Raw = Frame::RAW;
    case Json = Frame::JSON;
    case Proto = Frame::PROTO;
}
