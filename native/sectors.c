/* The loop over the sectors of a buffer, in C so that it runs without the interpreter's lock.
 *
 * The ciphers are those of a library that cryptlv/libraries.py has loaded; it hands over their handles and the
 * addresses of the functions that take them, so that nothing of that library is needed to build this.
 */
#ifndef Py_GIL_DISABLED
#define Py_LIMITED_API 0x030b0000 /* one file for every Python from 3.11 on */
#endif
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdint.h>
#include <string.h>

enum { BLOCK = 16, BATCH = 64, WORTH_CHAINING = 4 };
enum { LIBGCRYPT, OPENSSL };
enum { HOST_IS_LITTLE = __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ };

/* gcry_cipher_setiv or gcry_cipher_setctr; gcry_cipher_encrypt or gcry_cipher_decrypt */
typedef int (*gcrypt_set_iv)(void *, const void *, size_t);
typedef int (*gcrypt_crypt)(void *, void *, size_t, const void *, size_t);
/* EVP_CipherInit_ex; EVP_Cipher */
typedef int (*evp_init)(void *, const void *, void *, const void *, const void *, int);
typedef int (*evp_crypt)(void *, void *, const void *, unsigned int);

typedef struct {
    int convention;
    void *handle, *set_iv, *crypt;
} Cipher;

typedef struct {
    Py_ssize_t sector;
    unsigned long long step, shift, factor, addend, mask; /* ciphers/iv.py says what they mean */
    int big_endian, encrypted_iv;
    Cipher encrypt, decrypt;
    Cipher essiv; /* ECB with the IV's key, or no handle */
    Cipher chain; /* ECB with the key, for many sectors of CBC at once, or no handle */
} Plan;

typedef struct {
    PyObject_HEAD
    Plan plan;
    int busy;
    PyObject *owners; /* of the handles: what closes them when nobody refers to it */
} Loop;

static int set_iv(const Cipher *c, const void *iv)
{
    if (c->set_iv == NULL)
        return 0; /* ECB */
    if (c->convention == LIBGCRYPT)
        return ((gcrypt_set_iv)c->set_iv)(c->handle, iv, BLOCK) != 0;
    return ((evp_init)c->set_iv)(c->handle, NULL, NULL, NULL, iv, -1) != 1;
}

static int process(const Cipher *c, void *data, size_t length)
{
    if (c->convention == LIBGCRYPT)
        return ((gcrypt_crypt)c->crypt)(c->handle, data, length, NULL, 0) != 0;
    return ((evp_crypt)c->crypt)(c->handle, data, data, (unsigned int)length) <= 0;
}

static int make_ivs(const Plan *plan, uint8_t ivs[][BLOCK], size_t count, uint64_t number)
{
    for (size_t k = 0; k < count; k++, number += plan->step) {
        uint64_t value = ((number >> plan->shift) * plan->factor + plan->addend) & plan->mask;
        if (plan->big_endian == HOST_IS_LITTLE)
            value = __builtin_bswap64(value);
        memset(ivs[k], 0, BLOCK);
        memcpy(ivs[k] + (plan->big_endian ? 8 : 0), &value, 8);
        if (plan->encrypted_iv) {
            uint8_t plain[BLOCK];
            memcpy(plain, ivs[k], BLOCK);
            memset(ivs[k], 0, BLOCK);
            if (set_iv(&plan->encrypt, plain) || process(&plan->encrypt, ivs[k], BLOCK))
                return -1;
        }
    }
    return plan->essiv.handle ? process(&plan->essiv, ivs, count * BLOCK) : 0;
}

/* CBC encryption of many sectors: the same block of all of them in one call, where a single sector would have the
 * processor wait for each block before the next. */
static int chain(const Cipher *ecb, uint8_t *data, size_t sector, size_t count, uint8_t previous[][BLOCK])
{
    for (size_t at = 0; at < sector; at += BLOCK) {
        for (size_t k = 0; k < count; k++) {
            uint64_t a[2], b[2];
            memcpy(a, previous[k], BLOCK);
            memcpy(b, data + k * sector + at, BLOCK);
            a[0] ^= b[0];
            a[1] ^= b[1];
            memcpy(previous[k], a, BLOCK);
        }
        if (process(ecb, previous, count * BLOCK))
            return -1;
        for (size_t k = 0; k < count; k++)
            memcpy(data + k * sector + at, previous[k], BLOCK);
    }
    return 0;
}

static int run(const Plan *plan, const Cipher *cipher, uint8_t *data, size_t count, uint64_t number)
{
    uint8_t ivs[BATCH][BLOCK];
    size_t sector = (size_t)plan->sector;
    int may_chain = cipher == &plan->encrypt && plan->chain.handle != NULL;

    while (count) {
        size_t now = count < BATCH ? count : BATCH;
        if (make_ivs(plan, ivs, now, number))
            return -1;
        if (may_chain && now >= WORTH_CHAINING) {
            if (chain(&plan->chain, data, sector, now, ivs))
                return -1;
        } else {
            for (size_t k = 0; k < now; k++)
                if (set_iv(cipher, ivs[k]) || process(cipher, data + k * sector, sector))
                    return -1;
        }
        data += now * sector;
        number += now * plan->step;
        count -= now;
    }
    return 0;
}

static PyObject *whole_sectors(Loop *loop, const Cipher *cipher, PyObject *const *args, Py_ssize_t nargs)
{
    Py_buffer buffer;
    int failed;
    uint64_t first;

    if (nargs != 2) {
        PyErr_SetString(PyExc_TypeError, "a buffer and the number of its first sector are needed");
        return NULL;
    }
    first = PyLong_AsUnsignedLongLongMask(args[1]);
    if (PyErr_Occurred() || PyObject_GetBuffer(args[0], &buffer, PyBUF_WRITABLE))
        return NULL;
    if (buffer.len % loop->plan.sector || loop->busy) {
        if (loop->busy)
            PyErr_SetString(PyExc_RuntimeError, "a loop is for one thread at a time");
        else
            PyErr_Format(PyExc_ValueError, "%zd bytes are not whole sectors of %zd", buffer.len, loop->plan.sector);
        PyBuffer_Release(&buffer);
        return NULL;
    }
    loop->busy = 1;
    Py_BEGIN_ALLOW_THREADS
    failed = run(&loop->plan, cipher, buffer.buf, (size_t)(buffer.len / loop->plan.sector), first);
    Py_END_ALLOW_THREADS
    loop->busy = 0;
    PyBuffer_Release(&buffer);
    if (failed) {
        PyErr_SetString(PyExc_RuntimeError, "the cipher library failed");
        return NULL;
    }
    Py_RETURN_NONE;
}

static PyObject *loop_encrypt(PyObject *self, PyObject *const *args, Py_ssize_t nargs)
{
    return whole_sectors((Loop *)self, &((Loop *)self)->plan.encrypt, args, nargs);
}

static PyObject *loop_decrypt(PyObject *self, PyObject *const *args, Py_ssize_t nargs)
{
    return whole_sectors((Loop *)self, &((Loop *)self)->plan.decrypt, args, nargs);
}

static int read_cipher(PyObject *call, Cipher *cipher)
{
    unsigned long long handle, set_iv, crypt;
    if (!PyArg_ParseTuple(call, "iKKK", &cipher->convention, &handle, &set_iv, &crypt))
        return -1;
    cipher->handle = (void *)(uintptr_t)handle;
    cipher->set_iv = (void *)(uintptr_t)set_iv;
    cipher->crypt = (void *)(uintptr_t)crypt;
    return 0;
}

static PyObject *loop_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    Plan plan;
    Loop *loop;
    PyObject *calls[4], *owners;

    (void)kwargs;
    if (!PyArg_ParseTuple(args, "n(KKKKK)pp(O!O!O!O!)O", &plan.sector, &plan.step, &plan.shift, &plan.factor,
                          &plan.addend, &plan.mask, &plan.big_endian, &plan.encrypted_iv, &PyTuple_Type, &calls[0],
                          &PyTuple_Type, &calls[1], &PyTuple_Type, &calls[2], &PyTuple_Type, &calls[3], &owners))
        return NULL;
    if (read_cipher(calls[0], &plan.encrypt) || read_cipher(calls[1], &plan.decrypt) ||
        read_cipher(calls[2], &plan.essiv) || read_cipher(calls[3], &plan.chain))
        return NULL;
    if (plan.sector <= 0 || plan.sector % BLOCK || plan.shift > 63 || !plan.encrypt.handle || !plan.decrypt.handle) {
        PyErr_SetString(PyExc_ValueError, "no such loop");
        return NULL;
    }
    loop = (Loop *)((allocfunc)PyType_GetSlot(type, Py_tp_alloc))(type, 0);
    if (loop == NULL)
        return NULL;
    loop->plan = plan;
    Py_INCREF(owners);
    loop->owners = owners;
    return (PyObject *)loop;
}

static void loop_dealloc(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    Py_XDECREF(((Loop *)self)->owners);
    ((freefunc)PyType_GetSlot(type, Py_tp_free))(self);
    Py_DECREF((PyObject *)type);
}

static PyMethodDef loop_methods[] = {
    {"encrypt", (PyCFunction)(void (*)(void))loop_encrypt, METH_FASTCALL,
     "encrypt(buffer, first_sector): encrypt whole sectors in place."},
    {"decrypt", (PyCFunction)(void (*)(void))loop_decrypt, METH_FASTCALL,
     "decrypt(buffer, first_sector): decrypt whole sectors in place."},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot loop_slots[] = {
    {Py_tp_new, loop_new},
    {Py_tp_dealloc, loop_dealloc},
    {Py_tp_methods, loop_methods},
    {Py_tp_doc, "Ciphers of a library over whole sectors; for one thread at a time."},
    {0, NULL},
};

static PyType_Spec loop_spec = {"cryptlv.ciphers._sectors.Loop", sizeof(Loop), 0, Py_TPFLAGS_DEFAULT, loop_slots};

static PyModuleDef module = {PyModuleDef_HEAD_INIT, "_sectors", NULL, -1, NULL, NULL, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit__sectors(void)
{
    PyObject *made = PyModule_Create(&module), *type = PyType_FromSpec(&loop_spec);
    if (made == NULL || type == NULL || PyModule_AddObjectRef(made, "Loop", type) < 0)
        Py_CLEAR(made);
    Py_XDECREF(type);
    return made;
}
