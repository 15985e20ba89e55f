<?php

/**
 * What a usual application does with a request, without any package: immutable message objects in the manner of PSR-7,
 * middleware around a router, a handler that computes for about 5 ms and answers JSON.
 */

declare(strict_types=1);

require __DIR__ . '/work.php';

trait Message
{
    /** @var array<string, list<string>> by lower-cased name */
    private array $headers = [];

    public function withHeader(string $name, string ...$values): static
    {
        $copy = clone $this;
        $copy->headers[strtolower($name)] = $values;

        return $copy;
    }

    public function getHeaderLine(string $name): string
    {
        return implode(', ', $this->headers[strtolower($name)] ?? []);
    }

    /** @return array<string, list<string>> */
    public function getHeaders(): array
    {
        return $this->headers;
    }
}

final class Uri
{
    /** @var array<string, mixed> */
    private array $parts;

    public function __construct(string $uri)
    {
        $this->parts = parse_url($uri) ?: [];
    }

    public function getPath(): string
    {
        return $this->parts['path'] ?? '/';
    }

    public function getQuery(): string
    {
        return $this->parts['query'] ?? '';
    }
}

final class Request
{
    use Message;

    /** @var array<string, mixed> */
    private array $attributes = [];
    /** @var array<string, mixed> */
    private array $query = [];

    public function __construct(private string $method, private Uri $uri, private string $body = '')
    {
        parse_str($uri->getQuery(), $this->query);
    }

    public function getMethod(): string
    {
        return $this->method;
    }

    public function getUri(): Uri
    {
        return $this->uri;
    }

    /** @return array<string, mixed> */
    public function getQueryParams(): array
    {
        return $this->query;
    }

    public function withAttribute(string $name, mixed $value): self
    {
        $copy = clone $this;
        $copy->attributes[$name] = $value;

        return $copy;
    }

    public function getAttribute(string $name): mixed
    {
        return $this->attributes[$name] ?? null;
    }
}

final class Response
{
    use Message;

    public function __construct(private int $status = 200, private string $body = '')
    {
    }

    public function getStatusCode(): int
    {
        return $this->status;
    }

    public function getBody(): string
    {
        return $this->body;
    }
}

final class App
{
    private \Closure $entry;

    public function __construct(private int $rounds)
    {
        $next = $this->handle(...);
        foreach ([$this->route(...), $this->identify(...), $this->secure(...)] as $middleware) {
            $next = static fn (Request $request): Response => $middleware($request, $next);
        }
        $this->entry = $next;
    }

    public function __invoke(Request $request): Response
    {
        return ($this->entry)($request);
    }

    private function secure(Request $request, \Closure $next): Response
    {
        return $next($request)->withHeader('X-Frame-Options', 'DENY')->withHeader('X-Content-Type-Options', 'nosniff');
    }

    private function identify(Request $request, \Closure $next): Response
    {
        $id = bin2hex(random_bytes(8));

        return $next($request->withAttribute('request_id', $id))->withHeader('X-Request-Id', $id);
    }

    private function route(Request $request, \Closure $next): Response
    {
        if (preg_match('~^/users/(\d+)$~', $request->getUri()->getPath(), $match) === 1) {
            $request = $request->withAttribute('id', (int) $match[1]);
        }

        return $next($request);
    }

    private function handle(Request $request): Response
    {
        $body = json_encode([
            'id' => $request->getAttribute('id'),
            'page' => (int) ($request->getQueryParams()['page'] ?? 1),
            'digest' => compute($this->rounds),
            'items' => array_map(static fn (int $n): array => ['n' => $n, 'name' => "item $n"], range(1, 40)),
        ], JSON_THROW_ON_ERROR);

        return (new Response(200, $body))
            ->withHeader('Content-Type', 'application/json')
            ->withHeader('Cache-Control', 'no-store', 'private')
            ->withHeader('Set-Cookie', 'session=' . $request->getAttribute('request_id') . '; HttpOnly');
    }
}
