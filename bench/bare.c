/* The least that encrypting sectors takes: a loop over them that sets the IV and calls the library. It is timed in here,
 * so that nothing of Python is in the figure. */
#include <stddef.h>
#include <stdint.h>
#include <time.h>

typedef int (*gcrypt_set_iv)(void *, const void *, size_t);
typedef int (*gcrypt_crypt)(void *, void *, size_t, const void *, size_t);
typedef int (*evp_init)(void *, const void *, void *, const void *, const void *, int);
typedef int (*evp_crypt)(void *, void *, const void *, unsigned int);

double bare(int is_openssl, void *handle, void *set_iv, void *crypt, unsigned char *data, size_t length, size_t sector,
            size_t rounds)
{
    struct timespec start, end;
    uint64_t iv[2] = {0, 0};
    int failed = 0;

    clock_gettime(CLOCK_MONOTONIC, &start);
    while (rounds--) {
        iv[0] = 0;
        for (size_t at = 0; at < length; at += sector, iv[0] += sector / 512) {
            if (is_openssl)
                failed |= ((evp_init)set_iv)(handle, NULL, NULL, NULL, iv, -1) != 1 ||
                          ((evp_crypt)crypt)(handle, data + at, data + at, (unsigned)sector) <= 0;
            else
                failed |= ((gcrypt_set_iv)set_iv)(handle, iv, 16) ||
                          ((gcrypt_crypt)crypt)(handle, data + at, sector, NULL, 0);
        }
    }
    clock_gettime(CLOCK_MONOTONIC, &end);
    return failed ? -1 : (double)(end.tv_sec - start.tv_sec) + (double)(end.tv_nsec - start.tv_nsec) * 1e-9;
}
